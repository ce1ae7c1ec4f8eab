import Custody

// Hand-overs that are pending.
extension MemoryController {
    /// Makes a claim a pending hand-over because the back end completes it by itself.
    func register(
        _ work: Work,
        _ transaction: consuming Transaction,
        _ reference: BackendHandover,
        _ blockers: [Blocker],
        _ step: inout UInt64?
    ) throws(ConversionError) -> ConversionOutcome {
        var transaction = consume transaction
        let now = executor.now
        var registered: Handover? = state.withLock { state in
            guard let deadline = work.patience, mayPend(work.request, state) else { return nil }
            step = self.step()
            return attach(work, now, deadline, &state)
        }
        if registered == nil { registered = try takeBack(work, &transaction, reference, now, &step) }
        guard let handover = registered else {
            guard work.patience != nil else {
                return outcome(.blocked(by: blockers), work.range, stoppedAt: work.changes[0].range.start)
            }
            throw tooManyPending(work.range)
        }
        let made = transaction.made
        handover.keep(transaction)
        expect(reference, of: handover, made)
        watch(handover)
        return pending(handover, blockers, work.range)
    }

    /// Makes the claim of a change a hand-over.
    func attach(
        _ work: Work,
        _ now: Timestamp,
        _ deadline: Duration?,
        _ state: inout ControllerState
    ) -> Handover {
        let ticket = makeTicket(work, deadline, now, state.nextTicket)
        state.nextTicket += 1
        ticket.noteAttempt()
        let handover = Handover(ticket, work)
        state.register(handover)
        return handover
    }

    /// Takes back what the back end would complete by itself, because nobody may wait for it.
    ///
    /// - Returns: `nil` when it is taken back, or a hand-over all the same where it had completed in the meantime.
    func takeBack(
        _ work: Work,
        _ transaction: inout Transaction,
        _ reference: BackendHandover,
        _ now: Timestamp,
        _ step: inout UInt64?
    ) throws(ConversionError) -> Handover? {
        guard backend.withdraw(reference) else {
            return state.withLock { state in
                step = self.step()
                return attach(work, now, nil, &state)
            }
        }
        do {
            try transaction.undo()
        } catch {
            step = conclude(work, transaction.undone)
            backendLost(error)
            throw ConversionError(.backend, "the back end could not take it back", range: work.range, cause: error)
        }
        step = conclude(work, transaction.undone)
        return nil
    }

    /// Whether one more hand-over may be pending for the requester: what bounds the guest does not bound the host.
    func mayPend(_ request: ConversionRequest, _ state: ControllerState) -> Bool {
        guard state.pending.total < limits.pendingInTotal else { return false }
        let party = request.requester.party
        return party == .host || state.pending[party] < limits.pendingHandovers
    }

    /// Lets the back end complete a hand-over, of which so many changes have been made, and which it may have done already.
    func expect(_ reference: BackendHandover, of handover: Handover, _ made: Int? = nil) {
        let early: EarlyEnd? = state.withLock { state in
            let id = handover.work.id
            guard state.claims[id] != nil else { return nil }
            let early = state.early.removeValue(forKey: reference) ?? state.lost.map { EarlyEnd(failed: $0) }
            state.claims[id]?.phase = early == nil ? .awaiting(reference) : .running
            if let made { state.claims[id]?.made = made }
            return early
        }
        guard let early else { return }
        if let error = early.error { return giveUp(handover, .backend(error)) }
        if let change = early.take() { proceed(handover, with: change) }
    }

    /// Gives a hand-over up when its deadline comes.
    func watch(_ handover: Handover) {
        guard let deadline = handover.ticket.deadline else { return }
        let timer = executor.submitUrgently(at: deadline) { [weak self, weak handover] in
            if let self, let handover { expire(handover) }
        }
        if !handover.keep(timer, for: .deadline) { executor.withdraw(timer) }
    }

    /// Ends a hand-over whose deadline has come, on a thread that must not wait.
    ///
    /// One that waits for leases ends here: neither the back end nor a listener has been told of it. One that the back end
    /// completes by itself has to be withdrawn there first, and undone, which may take its time: its ticket ends when its
    /// pages are in the ownership before, or have changed hands after all.
    private func expire(_ handover: Handover) {
        guard let phase = beginEnding(handover) else { return }
        guard phase == .draining else {
            return executor.submitConcurrently { [weak self] in _ = self?.finishEnding(handover, phase, .expired) }
        }
        let step = conclude(handover.work, .restored)
        withdrawTimers(of: handover)
        post(.settled(handover.ticket, .expired), of: step)
        let callbacks = handover.ticket.end(.expired)
        guard !callbacks.isEmpty else { return }
        executor.submitConcurrently { for callback in callbacks { callback(.expired) } }
    }

    /// Looks, on the executor, at the hand-overs whose pages have been let go of.
    func advanceReleased() {
        executor.submit { [weak self] in
            guard let self else { return }
            let (ready, isMore) = state.withLock { $0.takeReleased() }
            for handover in ready { executor.submit { [weak self] in self?.run(handover) } }
            if isMore { advanceReleased() }
        }
    }

    /// Carries a hand-over out whose leases are gone. Its phase is `running`.
    func run(_ handover: Handover) {
        handover.ticket.noteAttempt()
        do {
            let listeners = state.withLock { $0.listeners(of: handover.work.id) }
            let transaction = try prepare(handover.work, listeners)
            drive(handover, consume transaction)
        } catch {
            postponeOrFail(handover, error)
        }
    }

    /// Goes on with a hand-over after the back end has completed a change of it. Its phase is `running`.
    func proceed(_ handover: Handover, with completed: consuming CommittedChange) {
        emit(.committed(completed.change))
        guard var transaction = handover.takeTransaction() else { return }
        transaction.accept(completed)
        drive(handover, consume transaction)
    }

    func drive(_ handover: Handover, _ transaction: consuming Transaction) {
        var transaction = consume transaction
        let progress: Progress
        do {
            progress = try advance(&transaction)
        } catch {
            return postponeOrFail(handover, error, transaction.undone)
        }
        switch progress {
        case .done(let contents, let finished):
            settle(handover, .completed(contents), .changed, finished)
        case .pending(let reference, _):
            let made = transaction.made
            handover.keep(consume transaction)
            expect(reference, of: handover, made)
        case .blocked(let blockers) where !transaction.isKept:
            // References that only the back end sees, and that it will not report the end of: ask again later.
            postpone(handover, blockers, "the pages are still referenced")
        case .blocked:
            let text = "the pages are still referenced, and the guest keeps what it was given"
            let error = BackendError(.refusedByGuest, text, range: handover.ticket.range)
            fail(handover, .backend(error), transaction.undone)
        }
    }

    /// Everything has been taken back; the hand-over is tried again after a while, unless it has been often enough.
    private func postpone(_ handover: Handover, _ blockers: [Blocker], _ cause: String) {
        let retry = handover.work.terms.retry ?? .standard
        guard let wait = retry.wait(afterAttempts: handover.ticket.attempts) else {
            let error = BackendError(
                .resourcesExhausted,
                "given up after \(handover.ticket.attempts) attempts: \(cause)",
                range: handover.ticket.range
            )
            return fail(handover, .backend(error))
        }
        let next = executor.now.advanced(by: wait)
        emit(.postponed(handover.ticket, blockers, until: next))
        putOff(handover)
        let timer = executor.submit(at: next) { [weak self, weak handover] in
            if let self, let handover { resume(handover) }
        }
        if !handover.keep(timer, for: .retry) { executor.withdraw(timer) }
    }

    /// Lets a hand-over of which everything has been taken back wait as if it had not begun.
    func putOff(_ handover: Handover) {
        whenAllKnow(handover.work, .restored) { state in
            state.claims[handover.work.id]?.phase = .draining
            state.claims[handover.work.id]?.lastListener = nil
        }
    }

    /// A back end that cannot reach its guest at the moment does not end a hand-over.
    private func postponeOrFail(_ handover: Handover, _ refusal: Refusal, _ ending: Ending = .restored) {
        guard case .backend(let error) = refusal, error.code == .disconnected, case .restored = ending else {
            return fail(handover, refusal, ending)
        }
        postpone(handover, [], "\(error)")
    }

    func fail(_ handover: Handover, _ refusal: Refusal, _ ending: Ending = .restored) {
        settle(handover, refusal.result, ending)
        refused(refusal)
    }

    /// Takes back what has been done for a hand-over that the back end does not complete. Its phase is `running`.
    func giveUp(_ handover: Handover, _ refusal: Refusal) {
        guard var transaction = handover.takeTransaction() else { return fail(handover, refusal) }
        do {
            try transaction.undo()
            postponeOrFail(handover, refusal, transaction.undone)
        } catch {
            fail(handover, .backend(error), transaction.undone)
        }
    }

    /// Ends a hand-over. Its phase is `running` or `ending`, which one caller alone has seen it become.
    func settle(
        _ handover: Handover,
        _ result: TicketResult,
        _ ending: Ending,
        _ finished: [FinishedChange] = []
    ) {
        tell(handover, result, of: conclude(handover.work, ending, finished))
    }

    /// Tells whoever waits for a hand-over that it has ended, by a step.
    func tell(_ handover: Handover, _ result: TicketResult, of step: UInt64) {
        withdrawTimers(of: handover)
        emit(.settled(handover.ticket, result), of: step)
        handover.ticket.settle(result)
    }

    private func withdrawTimers(of handover: Handover) {
        for timer in handover.takeTimers() { executor.withdraw(timer) }
    }

    /// Carries a draining hand-over out if nobody holds its pages any more; without one all that can be.
    func resume(_ handover: Handover? = nil) {
        let ready = state.withLock { state in
            state.takeReady(handover.map { [state.claims[$0.work.id]].compactMap { $0 } } ?? state.claims.all)
        }
        for handover in ready { run(handover) }
    }

    func cancel(_ claim: ClaimID) -> Bool {
        // What a policy, a listener or an observer was called about is not over.
        guard callee == nil else { return false }
        let handover = state.withLock { $0.claims[claim]?.handover }
        return handover.map { end($0, .cancelled) } ?? false
    }

    /// Takes a pending hand-over back. `false` where it is being carried out or has ended.
    @discardableResult
    func end(_ handover: Handover, _ result: TicketResult) -> Bool {
        guard let phase = beginEnding(handover) else { return false }
        return finishEnding(handover, phase, result)
    }

    /// Keeps everybody else from ending a hand-over.
    ///
    /// - Returns: how far it has got, or `nil` where it is being carried out or has ended.
    private func beginEnding(_ handover: Handover) -> Claim.Phase? {
        state.withLock { state in
            let id = handover.work.id
            guard let phase = state.claims[id]?.phase, phase != .running, phase != .ending else { return nil }
            state.claims[id]?.phase = .ending
            return phase
        }
    }

    private func finishEnding(_ handover: Handover, _ phase: Claim.Phase, _ result: TicketResult) -> Bool {
        if case .awaiting(let reference) = phase, !backend.withdraw(reference) {
            expect(reference, of: handover)
            return false
        }
        var ending = Ending.restored
        if var transaction = handover.takeTransaction() {
            do {
                try transaction.undo()
            } catch {
                fail(handover, .backend(error), transaction.undone)
                return false
            }
            if transaction.isKept {
                fail(handover, .backend(kept(handover)), transaction.undone)
                return false
            }
            ending = transaction.undone
        }
        settle(handover, result, ending)
        return true
    }

    private func kept(_ handover: Handover) -> BackendError {
        BackendError(.refusedByGuest, "the guest keeps what it was given", range: handover.ticket.range)
    }

    func tooManyPending(_ range: PageRange) -> ConversionError {
        ConversionError(.tooManyPending, "as many hand-overs are pending as the limits allow", range: range)
    }

    func pending(_ handover: Handover, _ blockers: [Blocker], _ range: PageRange) -> ConversionOutcome {
        var first: PageNumber?
        handover.work.changes.forEach { first = first ?? $0.range.intersection(range)?.start }
        return outcome(.pending(handover.ticket, blockers: blockers), range, stoppedAt: first ?? range.start)
    }
}
