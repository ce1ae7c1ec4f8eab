import Custody
import CustodyProtocols

// Hand-overs that the protocol completes by itself.
extension SimulationBackend {
    func isComplete(_ pending: SimulationState.Pending, _ state: SimulationState) -> Bool {
        state.kernel.world.isUniform(pending.pages.first, pending.pages.count, .guest)
    }

    /// Hands the kernel's worker, and the report of what it completes, to the executor.
    func submitWork() {
        let delay: Duration? = state.withLock { state in
            let isDue =
                state.kernel.hasWork || isSettlingDue(state)
                || state.pending.values.contains { isComplete($0, state) }
            guard isDue, !state.isWorkSubmitted else { return nil }
            state.isWorkSubmitted = true
            var delay = Duration.zero
            for case .delay(let more) in state.faults.count(.complete) { delay += more }
            return delay
        }
        guard let delay else { return }
        let work: @Sendable () -> Void = { [weak self] in self?.work() }
        if delay == .zero { clock.submit(work) } else { clock.submit(at: clock.now.advanced(by: delay), work) }
    }

    func work() {
        let (completed, settled, observer) = state.withLock { state in
            state.isWorkSubmitted = false
            state.kernel.complete()
            let completed = state.pending.filter { isComplete($0.value, state) }
                .sorted { $0.key.rawValue < $1.key.rawValue }
            for (handover, pending) in completed {
                state.pending.removeValue(forKey: handover)
                keepStale(pending.change, Reservation(rawValue: handover.rawValue), &state)
            }
            return (completed, settleWaiting(&state), state.observer)
        }
        for end in settled {
            switch end {
            case .completed(let handover, let change):
                let reservation = Reservation(rawValue: handover.rawValue)
                observer?.handoverCompleted(
                    handover,
                    CommittedChange(change, reservation: reservation, of: self)
                )
            case .failed(let handover, let error): observer?.handoverFailed(handover, error)
            case .advanced(let handover, let blockers):
                observer?.handoverAdvanced(handover, stillHeldBy: blockers)
            case .offered(let range): observer?.guestOffers(range)
            }
        }
        for (handover, pending) in completed {
            let reservation = Reservation(rawValue: handover.rawValue)
            observer?.handoverCompleted(
                handover,
                CommittedChange(pending.change, reservation: reservation, of: self)
            )
        }
    }
}
