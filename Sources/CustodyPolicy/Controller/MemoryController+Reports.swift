public import Custody

// What the back end reports.
extension MemoryController: BackendObserver {
    /// Goes on with the hand-over that a change belongs to.
    public func handoverCompleted(_ reference: BackendHandover, _ committed: consuming CommittedChange) {
        let end = EarlyEnd(completed: committed)
        if let handover = take(reference, orKeep: end), let change = end.take() { proceed(handover, with: change) }
    }

    /// Tells who is still waited for.
    public func handoverAdvanced(_ reference: BackendHandover, stillHeldBy blockers: [Blocker]) {
        var step: UInt64 = 0
        let ticket: Ticket? = state.withLock { state in
            step = self.step()
            return state.claims.awaiting(reference).flatMap { state.claims[$0] }?.handover?.ticket
        }
        if let ticket { emit(.advanced(ticket, blockers), of: step) }
    }

    /// Ends the hand-over that a change belongs to.
    public func handoverFailed(_ reference: BackendHandover, _ error: BackendError) {
        if let handover = take(reference, orKeep: EarlyEnd(failed: error)) { giveUp(handover, .backend(error)) }
    }

    /// Takes what the guest gives up by itself, by a request like any other of the guest's: rules and listeners see it.
    /// Where somebody is at these pages, or a rule says later, it is asked for again: the guest does not offer twice.
    public func guestOffers(_ range: PageRange) {
        if state.withLock({ $0.offers.begin(range) }) { take(offer: range, orAfter: .milliseconds(1)) }
    }

    private func take(offer range: PageRange, orAfter delay: Duration) {
        let now = executor.now
        while true {
            if let next = ask(forOffer: range, orAt: now.advanced(by: delay)) {
                let timer = executor.submit(at: next) { [weak self] in
                    self?.take(offer: range, orAfter: min(delay * 2, .seconds(1)))
                }
                return state.withLock { $0.offers.keep(timer, for: range) }
            }
            // The guest may have had it again meanwhile, and offered it again.
            if state.withLock({ $0.offers.end(range) }) { return }
        }
    }

    /// Asks for what the guest has given up; what comes of it is in the events, and a refusal leaves the pages where the
    /// ledger has them.
    ///
    /// - Returns: when it is to be asked for again, at the time given or later; `nil` where it is not.
    private func ask(forOffer range: PageRange, orAt next: Timestamp) -> Timestamp? {
        do {
            let outcome = try convert(ConversionRequest(range, to: .host, by: .guest(processor: 0)))
            guard case .deferred(let time, _) = outcome.status else { return nil }
            return time.map { max(next, $0) } ?? next
        } catch {
            return error.isTransient || error.code == .reentrant ? next : nil
        }
    }

    /// The hand-over that waits for `reference`, from now on `running`; where none does yet, `end` is kept for it.
    func take(_ reference: BackendHandover, orKeep end: EarlyEnd) -> Handover? {
        state.withLock { state in
            guard let id = state.claims.awaiting(reference) else {
                // What comes after a loss is waited for by nobody.
                if state.lost == nil { state.early[reference] = end }
                return nil
            }
            state.claims[id]?.phase = .running
            return state.claims[id]?.handover
        }
    }

    /// Ends every hand-over; no request succeeds any more.
    public func backendLost(_ error: BackendError) {
        // Dropped after the lock: the end of a change that was committed calls the back end.
        var early: [BackendHandover: EarlyEnd] = [:]
        defer { early = [:] }
        var step: UInt64 = 0
        let waiting: [Handover]? = state.withLock { state in
            guard state.lost == nil else { return nil }
            state.lose(error)
            step = self.step()
            swap(&early, &state.early)
            let waiting = state.claims.all.filter { $0.phase != .running && $0.phase != .ending }
            for claim in waiting { state.claims[claim.work.id]?.phase = .ending }
            return waiting.compactMap(\.handover)
        }
        guard let waiting else { return }
        emit(.lost(error), of: step)
        for handover in waiting { settle(handover, .failed(error), .restored) }
    }
}
