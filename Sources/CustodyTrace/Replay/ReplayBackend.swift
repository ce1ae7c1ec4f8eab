import Custody
import CustodyPolicy

/// A back end that carries changes out by another one, in the time of a trace, and where the trace says that something
/// went otherwise than well (a failure, references that only the back end saw, a completion by itself) has it go so.
final class ReplayBackend: MemoryBackend {
    /// Values that cannot be copied, kept for their number.
    private final class Kept<Value: ~Copyable & Sendable>: Sendable {
        private let value: Locked<Value?>
        init(_ value: consuming Value) { self.value = Locked(consume value) }
        func take() -> Value? { value.withLock { $0.take() } }
    }

    private struct State {
        var prepared: [Reservation: Kept<PreparedChange>] = [:]
        var committed: [Reservation: Kept<CommittedChange>] = [:]
        var pending: [(handover: BackendHandover, change: OwnershipChange)] = []
        var nextNumber: UInt64 = 1
        weak var observer: (any BackendObserver)?

        mutating func number() -> UInt64 {
            defer { nextNumber += 1 }
            return nextNumber
        }
    }

    let capabilities: Capabilities
    let layout: GuestMemoryLayout
    let initialOwnership: PageRunMap<Ownership>
    private let inner: any MemoryBackend
    private let script: ReplayScript
    private let clock: ReplayClock
    private let state = Locked(State())

    init(_ inner: any MemoryBackend, _ header: TraceHeader, _ script: ReplayScript, _ clock: ReplayClock) {
        self.inner = inner
        self.script = script
        self.clock = clock
        capabilities = header.capabilities
        layout = header.layout
        initialOwnership = header.ownershipMap
    }

    var executor: any CompletionExecutor { clock }
    var guestAgent: (any GuestAgent)? { inner.guestAgent }
    func report(to observer: any BackendObserver) { state.withLock { $0.observer = observer } }

    /// What the trace says went wrong next, where that is the back end's doing.
    private var scriptedFailure: BackendError? { failure(in: script.next?.event) }

    /// The same of a change, before which others have been made: what of them cannot be taken back is said first.
    private var scriptedFailureOfChange: BackendError? {
        guard case .reconnected = script.next?.event else { return scriptedFailure }
        return failure(in: script.next(2).last?.event)
    }

    private func failure(in event: TraceEvent?) -> BackendError? {
        switch event {
        case .failed(_, let error): error.cause?.error
        case .answered(_, let outcome): outcome.error?.cause?.error
        case .settled(_, .failed(let error)): error.error
        case .lost(let error): error.error
        default: nil
        }
    }

    func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        if let scriptedFailure { throw scriptedFailure }
        let prepared = Kept(try inner.prepare(change))
        let reservation = state.withLock { state in
            let reservation = Reservation(rawValue: state.number())
            state.prepared[reservation] = prepared
            return reservation
        }
        return PreparedChange(change, reservation: reservation, of: self)
    }

    func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        let kept = state.withLock { $0.prepared.removeValue(forKey: reservation) }
        guard let held = kept?.take() else {
            throw BackendError(.invalidArgument, "the change was not prepared", range: change.range)
        }
        switch script.next?.event {
        case .committed(change) where endsBeforeItsAnswer(change):
            let handover = BackendHandover(rawValue: state.withLock { $0.number() })
            observer?.handoverCompleted(handover, try carryOut(held, reservation))
            return .pending(handover, blockers: [])
        case .settled(_, .failed(let error)) where endsBeforeItsAnswer(change):
            let handover = BackendHandover(rawValue: state.withLock { $0.number() })
            observer?.handoverFailed(handover, error.error)
            return .pending(handover, blockers: [])
        case .committed(change): return .completed(try carryOut(held, reservation))
        case .postponed(_, let blockers, _): return .blocked(by: blockers)
        case .answered(_, let outcome) where outcome.status == .blocked: return .blocked(by: outcome.blockers ?? [])
        default: break
        }
        if let scriptedFailureOfChange { throw scriptedFailureOfChange }
        // Nothing came of it at once: the back end was to complete it by itself.
        var blockers: [Blocker] = []
        if case .answered(_, let outcome) = script.next?.event { blockers = outcome.blockers ?? [] }
        let handover = state.withLock { state in
            let handover = BackendHandover(rawValue: state.number())
            state.pending.append((handover, change))
            return handover
        }
        return .pending(handover, blockers: blockers)
    }

    /// Whether a change that is carried out next was pending for a moment: it ended before the request had its answer.
    private func endsBeforeItsAnswer(_ change: OwnershipChange) -> Bool {
        var ended: Set<TicketID> = []
        for record in script.next(64) {
            switch record.event {
            case .settled(let ticket, _) where ticket.range.contains(change.range) && ticket.target == change.to:
                ended.insert(ticket.id)
            case .answered(_, let outcome): return outcome.ticket.map { ended.contains($0.id) } ?? false
            case .requested, .failed: return false
            default: continue
            }
        }
        return false
    }

    private func carryOut(
        _ prepared: consuming PreparedChange,
        _ reservation: Reservation
    ) throws(BackendError) -> CommittedChange {
        let change = prepared.change
        switch try inner.commit(prepared) {
        case .completed(let committed):
            let kept = Kept(committed)
            state.withLock { $0.committed[reservation] = kept }
            return CommittedChange(change, reservation: reservation, of: self)
        case .blocked(let blockers):
            throw BackendError(.system, "held by \(blockers), and by nobody in the trace", range: change.range)
        case .pending(let handover, let blockers):
            _ = inner.withdraw(handover)
            throw BackendError(.system, "held by \(blockers), and by nobody in the trace", range: change.range)
        }
    }

    func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        let change = committed.change
        guard let reservation = committed.take(for: self),
            let held = state.withLock({ $0.committed.removeValue(forKey: reservation) })?.take()
        else { return .unspecified }
        let effect = inner.finish(held)
        return hasPromised(effect, change) ? effect : script.contents(of: change) ?? effect
    }

    /// Whether the back end has done what it declares, as that of the trace declares it, too: the trace has to say the same.
    private func hasPromised(_ effect: ContentsEffect, _ change: OwnershipChange) -> Bool {
        guard change.from.allows(.guest), change.to.allows(.guest), effect != .unspecified else { return false }
        return [inner.capabilities, capabilities].allSatisfy { $0.contentsEffect(of: change.to) == effect }
    }

    func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let range = committed.change.range
        let from = committed.change.from
        guard let reservation = committed.take(for: self),
            let held = state.withLock({ $0.committed.removeValue(forKey: reservation) })?.take()
        else { throw BackendError(.invalidArgument, "the change was made by another back end", range: range) }
        if from == .host, case .reconnected(let found) = script.next?.event,
            found.ownership.contains(where: { $0.range.contains(range) })
        {
            _ = inner.finish(held)
            throw BackendError(.refusedByGuest, "the guest kept it in the trace", range: range)
        }
        try inner.undo(held)
        if case .lost(let error) = script.next?.event { throw error.error }
    }

    func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {
        _ = state.withLock { $0.prepared.removeValue(forKey: reservation) }
    }

    func withdraw(_ handover: BackendHandover) -> Bool {
        state.withLock { state in
            guard let index = state.pending.firstIndex(where: { $0.handover == handover }) else { return false }
            state.pending.remove(at: index)
            return true
        }
    }

    func discardContents(of range: PageRange) throws(BackendError) {
        if case .discarded(range, let failure?) = script.next?.event { throw failure.error }
        try inner.discardContents(of: range)
    }

    func shutDown() { inner.shutDown() }

    func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try inner.read(&bytes, from: address)
    }

    func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try inner.write(bytes, to: address)
    }

    // MARK: What the back end did by itself

    /// Has a line happen that only the back end can bring about; `false` where it is none, or not for it to do.
    func bringAbout(_ event: TraceEvent) -> Bool {
        switch event {
        case .committed(let change):
            guard let handover = takePending({ $0 == change }) else { return false }
            complete(handover, change)
        case .settled(let ticket, .failed(let error)):
            guard let handover = takePending({ ticket.range.contains($0.range) && $0.to == ticket.target }) else {
                return false
            }
            observer?.handoverFailed(handover, error.error)
        case .advanced(let ticket, let blockers):
            let handover = state.withLock { state in
                state.pending.first { ticket.range.contains($0.change.range) }?.handover
            }
            guard let handover else { return false }
            observer?.handoverAdvanced(handover, stillHeldBy: blockers)
        case .lost(let error): observer?.backendLost(error.error)
        default: return false
        }
        return true
    }

    private var observer: (any BackendObserver)? { state.withLock { $0.observer } }

    private func takePending(_ isMeant: (OwnershipChange) -> Bool) -> BackendHandover? {
        state.withLock { state in
            guard let index = state.pending.firstIndex(where: { isMeant($0.change) }) else { return nil }
            return state.pending.remove(at: index).handover
        }
    }

    private func complete(_ handover: BackendHandover, _ change: OwnershipChange) {
        let reservation = Reservation(rawValue: state.withLock { $0.number() })
        do {
            let committed = try carryOut(try inner.prepare(change), reservation)
            observer?.handoverCompleted(handover, committed)
        } catch {
            observer?.handoverFailed(handover, error)
        }
    }

    /// Finds what the back end of the trace found when it reached its guest again.
    func reconnect(_ found: Reconciliation, _ snapshot: ControllerSnapshot) {
        var ownership = initialOwnership
        for run in snapshot.ownership { ownership.set(run.range, to: run.ownership) }
        for transit in snapshot.changes.flatMap(\.transits) { ownership.set(transit.range, to: transit.before) }
        for difference in found.ownership {
            guard let before = difference.before, let after = difference.after else { continue }
            let change = OwnershipChange(range: difference.range, from: before, to: after, initiator: .host)
            // Where the pages cannot follow, what comes after this is not as in the trace.
            if let prepared = try? inner.prepare(change), let outcome = try? inner.commit(prepared),
                case .completed(let committed) = outcome
            {
                _ = inner.finish(committed)
            }
            ownership.set(difference.range, to: after)
        }
        observer?.backendReconnected(finding: ownership)
    }
}
