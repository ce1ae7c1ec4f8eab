import Custody

/// What the back end beside the real one reports: kept until the real one has come as far.
final class TwinReports: BackendObserver {
    private final class Kept: Sendable {
        private let change: Locked<CommittedChange?>
        init(_ change: consuming CommittedChange) { self.change = Locked(consume change) }
        func take() -> CommittedChange? { change.withLock { $0.take() } }
    }

    private struct State {
        var completed: [BackendHandover: Kept] = [:]
        var failed: [BackendHandover: BackendError] = [:]
    }

    private let state = Locked(State())

    func takeCompleted(_ handover: BackendHandover) -> CommittedChange? {
        state.withLock { $0.completed.removeValue(forKey: handover) }?.take()
    }

    func takeFailure(_ handover: BackendHandover) -> BackendError? {
        state.withLock { $0.failed.removeValue(forKey: handover) }
    }

    func handoverCompleted(_ handover: BackendHandover, _ committed: consuming CommittedChange) {
        let kept = Kept(committed)
        state.withLock { $0.completed[handover] = kept }
    }

    func handoverFailed(_ handover: BackendHandover, _ error: BackendError) {
        state.withLock { $0.failed[handover] = error }
    }

    // The real one's reports of these are passed on, and what the other one does next shows whether it is so on its side.
    func handoverAdvanced(_ handover: BackendHandover, stillHeldBy blockers: [Blocker]) {}
    func guestOffers(_ range: PageRange) {}
    func backendReconnected(finding ownership: PageRunMap<Ownership>) {}
    func backendLost(_ error: BackendError) {}
}
