// What the engine makes of the steps of a back end.
extension PageMover {
    /// Names the one receiver of what this back end reports; it is held weakly.
    public func report(to observer: any BackendObserver) { engine.observe(observer) }

    /// Checks a change, and has it planned.
    public func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        if let lost = engine.lost { throw lost }
        let range = change.range
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "\(hole) is not RAM of the guest", range: range)
        }
        guard range.isAligned(to: layout.granularity) else {
            let unit = ByteCount(layout.granularity.bytes)
            throw BackendError(.invalidArgument, "ownership changes in units of \(unit)", range: range)
        }
        return PreparedChange(change, reservation: engine.enter(change, try plan(change)), of: self)
    }

    /// Has the pages moved.
    public func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        guard var planned = engine.begin(reservation) else {
            throw BackendError(.invalidArgument, "the change was not prepared here", range: change.range)
        }
        let outcome: MoveOutcome
        do throws(BackendError) { outcome = try move(&planned) } catch {
            end(planned)
            throw error
        }
        switch outcome {
        case .done:
            engine.make(planned)
            return .completed(CommittedChange(change, reservation: reservation, of: self))
        case .blocked(let holders):
            end(planned)
            return .blocked(by: holders)
        case .held(let holders):
            schedule(planned.id, engine.wait(planned, heldBy: holders, isAsked: false))
            return .pending(planned.id, blockers: holders)
        case .asked(let holders):
            schedule(planned.id, engine.wait(planned, heldBy: holders, isAsked: true))
            return .pending(planned.id, blockers: holders)
        }
    }

    /// Has what is stale dropped.
    public func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        guard let reservation = committed.take(for: self), let planned = engine.take(reservation, .made) else {
            return .unspecified
        }
        return drop(planned)
    }

    /// Has the pages moved back.
    public func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let range = committed.change.range
        guard let reservation = committed.take(for: self), let planned = engine.take(reservation, .made) else {
            throw BackendError(.invalidArgument, "the change was not made here", range: range)
        }
        do throws(BackendError) { try moveBack(planned) } catch {
            guard error.code != .refusedByGuest else { throw error }
            throw lose(BackendError(.lost, "a change cannot be taken back", range: range, cause: error))
        }
    }

    /// Gives back what was reserved.
    public func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {
        if let planned = engine.take(reservation, .planned) { release(planned) }
    }

    /// Has a pending change stopped; waits for an attempt under way.
    public func withdraw(_ handover: BackendHandover) -> Bool {
        guard let (planned, timer, _) = engine.takeUp(handover) else { return false }
        if let timer { executor.withdraw(timer) }
        guard stop(planned) else {
            // It is too late, and what it waited for may have come.
            engine.putBack(planned.id)
            submitAttempt(planned.id)
            return false
        }
        end(planned)
        return true
    }

    // MARK: For back ends

    /// Has ``move(_:)`` called again for a change that waits, at once: what it waits for may have come.
    public func retry(_ id: BackendHandover) {
        if engine.hasten(id) { submitAttempt(id) }
    }

    /// Has ``move(_:)`` called again for all changes that wait and are meant, the oldest one first.
    public func retryPending(where isMeant: (PlannedChange<Token>) -> Bool = { _ in true }) {
        for id in engine.pending(isMeant) { retry(id) }
    }

    /// Notes that the guest is gone, or not known any more, and tells the observer, once. Calls fail with `error` from now on,
    /// and so do changes that wait.
    ///
    /// - Returns: `error`.
    @discardableResult
    public func lose(_ error: BackendError) -> BackendError {
        let (isFirst, observer) = engine.lose(error)
        if let observer { executor.submit { observer.backendLost(error) } }
        if isFirst { retryPending() }
        return error
    }

    /// Has calls fail from now on, because the back end is being shut down; the observer is not told.
    public func refuseCalls(with error: BackendError) {
        if engine.lose(error).isFirst { retryPending() }
    }

    // MARK: Attempts

    private func end(_ planned: PlannedChange<Token>) {
        engine.remove(planned.id)
        release(planned)
    }

    private func submitAttempt(_ id: BackendHandover) {
        executor.submit { [weak self] in self?.attempt(id) }
    }

    private func schedule(_ id: BackendHandover, _ wait: ChangeEngine<Token>.Wait) {
        guard let delay = wait.delay else { return }
        guard delay > .zero else { return submitAttempt(id) }
        let timer = executor.submit(at: executor.now.advanced(by: delay)) { [weak self] in self?.attempt(id) }
        if let stale = engine.keep(timer, for: id) { executor.withdraw(stale) }
    }

    /// Calls the back end once more for a change that waits; on the executor.
    private func attempt(_ id: BackendHandover) {
        guard case (var planned, let timer, let lost)? = engine.beginAttempt(id) else { return }
        if let timer { executor.withdraw(timer) }
        do throws(BackendError) {
            if let lost { throw lost }
            switch try move(&planned) {
            case .done:
                let observer = engine.make(planned)
                let reservation = Reservation(rawValue: id.rawValue)
                let made = CommittedChange(planned.change, reservation: reservation, of: self)
                observer?.handoverCompleted(id, made)
            case .blocked(let holders), .held(let holders): goOn(planned, holders, isAsked: false)
            case .asked(let holders): goOn(planned, holders, isAsked: true)
            }
        } catch {
            end(planned)
            engine.observer?.handoverFailed(id, error)
        }
    }

    private func goOn(_ planned: PlannedChange<Token>, _ holders: [Blocker], isAsked: Bool) {
        let wait = engine.wait(planned, heldBy: holders, isAsked: isAsked)
        if wait.isNews { wait.observer?.handoverAdvanced(planned.id, stillHeldBy: holders) }
        schedule(planned.id, wait)
    }
}
