import Custody

/// What is left of a controller when nobody has it any more.
final class ControllerRemains: Sendable {
    private let state: ControllerState
    private let backend: any MemoryBackend
    private let policy: any Policy
    private let observer: (any ControllerObserver)?
    private let pool: SharedPool?

    init(
        state: ControllerState,
        backend: any MemoryBackend,
        policy: any Policy,
        observer: (any ControllerObserver)?,
        pool: SharedPool?
    ) {
        self.state = state
        self.backend = backend
        self.policy = policy
        self.observer = observer
        self.pool = pool
    }

    /// Whether nothing is pending: its end calls neither the back end nor anybody who waits.
    var isOver: Bool { state.claims.isEmpty && state.early.isEmpty }

    /// Ends what is pending. What the back end can still take back it takes back; what it cannot, the tickets say.
    func end() {
        var state = state
        let executor = backend.executor
        for timer in state.offers.timers + [state.timeBoxes.takeAlarm()].compactMap({ $0 }) { executor.withdraw(timer) }
        for claim in state.claims.all {
            guard let handover = claim.handover else { continue }
            for timer in handover.takeTimers() { executor.withdraw(timer) }
            handover.ticket.settle(state.lost.map { .failed($0) } ?? result(of: claim, handover))
        }
        pool?.giveBack(state.tally.exposed)
    }

    private func result(of claim: Claim, _ handover: Handover) -> TicketResult {
        let range = handover.ticket.range
        var isCompleted = false
        if case .awaiting(let reference) = claim.phase { isCompleted = !backend.withdraw(reference) }
        guard var transaction = handover.takeTransaction() else {
            return isCompleted ? .completed(.unspecified) : .cancelled
        }
        // The back end has made this change, and nobody is left whom it could tell: it is made.
        if isCompleted, transaction.made + 1 == claim.changes.count {
            _ = transaction.finish { _, _ in }
            return .completed(.unspecified)
        }
        do { try transaction.undo() } catch { return .failed(error) }
        if isCompleted {
            let text = "the controller is gone, and a part of the pages had changed hands"
            return .failed(BackendError(.lost, text, range: range))
        }
        guard transaction.isKept else { return .cancelled }
        return .failed(BackendError(.refusedByGuest, "the guest keeps what it was given", range: range))
    }
}
