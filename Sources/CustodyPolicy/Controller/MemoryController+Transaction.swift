import Custody

// Carrying changes out.
extension MemoryController {
    enum Progress {
        case done(ContentsEffect, [FinishedChange])
        case blocked([Blocker])
        case pending(BackendHandover, [Blocker])
    }

    /// A change whose stale backing is gone, and what became of the bytes.
    typealias FinishedChange = (change: OwnershipChange, contents: ContentsEffect)

    /// Carries a claim out that waits for nobody.
    func carryOut(
        _ work: Work,
        _ listeners: [ListenerPort],
        _ step: inout UInt64?
    ) throws(ConversionError) -> ConversionOutcome {
        let transaction: Transaction
        do { transaction = try prepare(work, listeners) } catch { throw refuse(work, error, .restored, &step) }
        return try drive(work, consume transaction, &step)
    }

    private func drive(
        _ work: Work,
        _ transaction: consuming Transaction,
        _ step: inout UInt64?
    ) throws(ConversionError) -> ConversionOutcome {
        var transaction = consume transaction
        let progress: Progress
        do { progress = try advance(&transaction) } catch { throw refuse(work, error, transaction.undone, &step) }
        switch progress {
        case .done(let contents, let finished):
            step = conclude(work, .changed, finished)
            return outcome(.completed, work.range, work.changes.pageCount, contents)
        case .blocked(let blockers):
            step = conclude(work, transaction.undone)
            return outcome(.blocked(by: blockers), work.range, stoppedAt: work.changes[0].range.start)
        case .pending(let reference, let blockers):
            return try register(work, consume transaction, reference, blockers, &step)
        }
    }

    func prepare(_ work: Work, _ listeners: [ListenerPort]) throws(Refusal) -> Transaction {
        let transaction = try Transaction(work.changes, on: backend, listeners: listeners)
        work.changes.forEach { emit(.prepared($0)) }
        return transaction
    }

    func advance(_ transaction: inout Transaction) throws(Refusal) -> Progress {
        while true {
            switch try transaction.advance() {
            case .committed(let change): emit(.committed(change))
            case .blocked(let blockers): return .blocked(blockers)
            case .pending(let handover, let blockers): return .pending(handover, blockers)
            case .done:
                var finished: [FinishedChange] = []
                let contents = transaction.finish { if observer != nil { finished.append(($0, $1)) } }
                return .done(contents ?? .preserved, finished)
            }
        }
    }

    /// Ends a claim, and tells of its changes that are made.
    ///
    /// - Returns: the step.
    func conclude(_ work: Work, _ ending: Ending, _ finished: [FinishedChange] = []) -> UInt64 {
        var alarm: Timestamp?
        var step: UInt64 = 0
        let period = ending.isChanged && work.request.target == .shared ? work.terms.returnsAfter : nil
        let due = period.map { executor.now.advanced(by: $0) }
        whenAllKnow(work, ending) { state in
            state.conclude(work, ending)
            step = self.step()
            guard let period, let due else { return }
            work.changes.forEach { state.timeBoxes.open($0.range, TimeBox(due: due, period: period)) }
            alarm = state.timeBoxes.nextAlarm()
        }
        settle(work, ending)
        for change in finished { emit(.finished(change.change, change.contents), of: step) }
        if case .kept = ending { tellKept(work, ending, step) }
        if let alarm { setAlarm(alarm) }
        return step
    }

    /// Reports pages that are in another ownership than before, although their change was taken back.
    private func tellKept(_ work: Work, _ ending: Ending, _ step: UInt64) {
        var differences: [OwnershipDifference] = []
        work.changes.forEach { change in
            ending.forEachRun(of: change) { range, found in
                guard found != change.from else { return }
                differences.append(OwnershipDifference(range: range, before: change.from, after: found))
            }
        }
        emit(.reconnected(Reconciliation(ownership: differences, completed: [], failed: [])), of: step)
    }

    /// A pool was charged with what is shared, and with what was going to be.
    func settle(_ work: Work, _ ending: Ending) {
        guard let pool else { return }
        work.changes.forEach { change in
            let wasCharged = change.from == .shared || change.to == .shared
            ending.forEachRun(of: change) { range, final in
                if wasCharged, final != .shared { pool.giveBack(range.count) }
                if !wasCharged, final == .shared { pool.charge(range.count) }
            }
        }
    }

    /// Does the last step of a claim, once the listeners that joined meanwhile know what they need to.
    func whenAllKnow(_ work: Work, _ ending: Ending, _ body: (inout ControllerState) -> Void) {
        while true {
            let late: [ListenerPort] = state.withLock { state in
                let late = state.takeLateListeners(of: work.id)
                if late.isEmpty { body(&state) }
                return late
            }
            guard !late.isEmpty else { return }
            tell(late, work, ending)
        }
    }

    /// Tells listeners what has become of pages. Whoever refuses what it is to have is a listener no more.
    func tell(_ listeners: [ListenerPort], _ work: Work, _ ending: Ending) {
        for port in listeners {
            do { try port.follow(work.changes, ending) } catch {
                state.withLock { $0.sweepListeners() }
                emit(.dismissed(port.id, port.listener.name, error))
            }
        }
    }

    private func refuse(
        _ work: Work,
        _ refusal: Refusal,
        _ ending: Ending,
        _ step: inout UInt64?
    ) -> ConversionError {
        step = conclude(work, ending)
        refused(refusal)
        return refusal.error(for: work.range)
    }

    func refused(_ refusal: Refusal) {
        switch refusal {
        case .backend(let error): if error.code == .lost { backendLost(error) }
        case .vetoed(let listener, let veto): emit(.vetoed(listener, veto))
        }
    }
}
