import Custody

/// Several changes that are made together or not at all, by the back end and by the listeners.
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

    private let changes: Changes
    private let backend: any MemoryBackend
    private let listeners: [ListenerPort]
    /// The next one on top.
    private var prepared = UniqueStack<PreparedChange>()
    private var committed = UniqueStack<CommittedChange>()
    /// How many changes have been made and can still be taken back.
    private(set) var made = 0
    /// What the guest had been given and kept when everything else was taken back: it is shared.
    private var kept: [PageRange] = []
    /// What listeners have prepared for, in their order: before the back end where the host loses pages, else after it.
    private var told: [(port: ListenerPort, changes: [HostAccessChange])] = []

    /// Prepares every change, and the listeners where the host loses pages; where one cannot be, none is.
    init(_ changes: Changes, on backend: any MemoryBackend, listeners: [ListenerPort]) throws(Refusal) {
        self.changes = changes
        self.backend = backend
        self.listeners = listeners
        var index = changes.count
        while index > 0 {
            index -= 1
            do { prepared.push(try backend.prepare(changes[index])) } catch { throw .backend(error) }
        }
        // Whoever joined last may stand on those before.
        if !listeners.isEmpty, !isGiving { try tell(listeners.reversed()) }
    }

    /// Whether the host may touch the pages afterwards. All changes have one target.
    private var isGiving: Bool { changes[0].to.allows(.host) }

    /// Commits the next change. An error undoes the ones before.
    mutating func advance() throws(Refusal) -> Step {
        guard let next = prepared.pop() else {
            guard !listeners.isEmpty, isGiving, told.isEmpty else { return .done }
            do {
                try tell(listeners)
            } catch {
                let veto = error
                do { try undo() } catch { throw .backend(error) }
                throw veto
            }
            return .done
        }
        let change = next.change
        let outcome: CommitOutcome
        do {
            outcome = try backend.commit(next)
        } catch {
            let failure = error
            do { try undo() } catch { throw .backend(error) }
            throw .backend(failure)
        }
        switch consume outcome {
        case .completed(let done):
            accept(done)
            return .committed(change)
        case .blocked(let blockers):
            do { try undo() } catch { throw .backend(error) }
            return .blocked(blockers)
        case .pending(let handover, let blockers):
            return .pending(handover, blockers)
        }
    }

    /// Takes up a change that the back end has completed by itself.
    mutating func accept(_ completed: consuming CommittedChange) {
        committed.push(completed)
        made += 1
    }

    /// Drops what is stale, and reports each change with what became of its bytes.
    mutating func finish(_ report: (OwnershipChange, ContentsEffect) -> Void) -> ContentsEffect? {
        var combined: ContentsEffect?
        while let next = committed.pop() {
            let change = next.change
            let effect = backend.finish(next)
            report(change, effect)
            combined = combined == nil || combined == effect ? effect : .unspecified
        }
        for (port, changes) in told { port.commit(changes) }
        told = []
        return combined
    }

    /// Takes everything back, in the opposite order: the listeners where the host gained pages, what is committed, what
    /// is prepared, the listeners where the host lost pages. ``undone`` says how the pages are then.
    ///
    /// - Throws: `BackendError` with the code `lost` where a change could not be taken back; everything else has been
    ///   nevertheless.
    mutating func undo() throws(BackendError) {
        if isGiving { takeBackWord() }
        var failure: BackendError?
        made = 0
        while let next = committed.pop() {
            let range = next.change.range
            do {
                try backend.undo(next)
            } catch {
                if error.code == .refusedByGuest { kept.append(range) } else { failure = failure ?? error }
            }
        }
        while let next = prepared.pop() { next.cancel() }
        takeBackWord()
        guard let failure else { return }
        if failure.code == .lost { throw failure }
        throw BackendError(.lost, "a change could not be taken back", range: failure.range, cause: failure)
    }

    /// Whether the guest kept some of what it had been given: the same changes cannot be made again.
    var isKept: Bool { !kept.isEmpty }

    /// How the pages are when everything has been taken back.
    var undone: Ending {
        guard isKept else { return .restored }
        var (first, end) = (UInt64.max, UInt64(0))
        changes.forEach { change in
            first = min(first, change.range.start.rawValue)
            end = max(end, change.range.end)
        }
        var map = PageRunMap(bounds: PageRange(uncheckedStart: first, count: end - first), state: Ownership.host)
        changes.forEach { map.set($0.range, to: $0.from) }
        for range in kept { map.set(range, to: .shared) }
        return .kept(map)
    }

    /// Has the listeners prepare; a veto takes back what those before it did.
    private mutating func tell(_ ports: [ListenerPort]) throws(Refusal) {
        for port in ports {
            do {
                told.append((port, try port.prepare(changes)))
            } catch {
                takeBackWord()
                throw .vetoed(by: port.listener.name, error)
            }
        }
    }

    private mutating func takeBackWord() {
        while let (port, changes) = told.popLast() { port.rollBack(changes) }
    }
}
