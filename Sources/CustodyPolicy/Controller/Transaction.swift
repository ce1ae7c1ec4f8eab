import Custody

/// Several changes that are made together or not at all.
///
/// Dropping one cancels what is only prepared; what is committed has been finished or undone by then.
struct Transaction: ~Copyable, Sendable {
    /// Where the changes stand after a step.
    enum Step: ~Copyable {
        /// This change has been made.
        case committed(OwnershipChange)
        /// All of them have been made.
        case done
        /// References that the back end sees stand in the way; everything has been undone.
        case blocked([Blocker])
        /// The back end completes this change by itself; the step after it waits for that.
        case pending(BackendHandover, [Blocker])
    }

    private let backend: any MemoryBackend
    /// The next one on top.
    private var prepared = UniqueStack<PreparedChange>()
    private var committed = UniqueStack<CommittedChange>()

    /// Prepares every change; where one cannot be, none is.
    init(_ changes: Changes, on backend: any MemoryBackend) throws(BackendError) {
        self.backend = backend
        var index = changes.count
        while index > 0 {
            index -= 1
            prepared.push(try backend.prepare(changes[index]))
        }
    }

    /// Commits the next change. An error undoes the ones before.
    mutating func advance() throws(BackendError) -> Step {
        guard let next = prepared.pop() else { return .done }
        let change = next.change
        let outcome: CommitOutcome
        do {
            outcome = try backend.commit(next)
        } catch {
            try undo()
            throw error
        }
        switch consume outcome {
        case .completed(let done):
            committed.push(done)
            return .committed(change)
        case .blocked(let blockers):
            try undo()
            return .blocked(blockers)
        case .pending(let handover, let blockers):
            return .pending(handover, blockers)
        }
    }

    /// Takes up a change that the back end has completed by itself.
    mutating func accept(_ completed: consuming CommittedChange) { committed.push(completed) }

    /// Drops what is stale, and reports each change with what became of its bytes.
    mutating func finish(_ report: (OwnershipChange, ContentsEffect) -> Void) -> ContentsEffect? {
        var combined: ContentsEffect?
        while let next = committed.pop() {
            let change = next.change
            let effect = backend.finish(next)
            report(change, effect)
            combined = combined == nil || combined == effect ? effect : .unspecified
        }
        return combined
    }

    /// Takes everything back: what is committed, the last one first, and what is prepared.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/lost`` where a change could not be taken back; the ones before
    ///   it have been nevertheless.
    mutating func undo() throws(BackendError) {
        while let next = prepared.pop() { next.cancel() }
        var failure: BackendError?
        while let next = committed.pop() {
            do { try backend.undo(next) } catch { failure = failure ?? error }
        }
        guard let failure else { return }
        if failure.code == .lost { throw failure }
        throw BackendError(.lost, "a change could not be taken back", range: failure.range, cause: failure)
    }
}
