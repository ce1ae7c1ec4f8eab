import Custody

// Carrying changes out.
extension MemoryController {
    enum Progress {
        case done(ContentsEffect)
        case blocked([Blocker])
        case pending(BackendHandover, [Blocker])
    }

    /// Carries a claim out that waits for nobody.
    func carryOut(_ work: Work) throws(ConversionError) -> ConversionOutcome {
        let transaction: Transaction
        do { transaction = try prepare(work) } catch { throw refuse(work, error) }
        return try drive(work, consume transaction)
    }

    private func drive(
        _ work: Work,
        _ transaction: consuming Transaction
    ) throws(ConversionError) -> ConversionOutcome {
        var transaction = consume transaction
        let progress: Progress
        do { progress = try advance(&transaction) } catch { throw refuse(work, error, transaction.undone) }
        switch progress {
        case .done(let contents):
            conclude(work, .changed)
            return outcome(.completed, work.range, work.changes.pageCount, contents)
        case .blocked(let blockers):
            conclude(work, transaction.undone)
            return outcome(.blocked(by: blockers), work.range, stoppedAt: work.changes[0].range.start)
        case .pending(let reference, let blockers):
            return try register(work, consume transaction, reference, blockers)
        }
    }

    func prepare(_ work: Work) throws(Refusal) -> Transaction {
        let listeners = state.withLock { $0.listeners(of: work.id) }
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
            case .done: return .done(transaction.finish { emit(.finished($0, $1)) } ?? .preserved)
            }
        }
    }

    /// Ends a claim.
    func conclude(_ work: Work, _ ending: Ending) {
        var box: UInt64?
        let period = ending.isChanged && work.request.target == .shared ? work.terms.returnsAfter : nil
        let due = period.map { executor.now.advanced(by: $0) }
        whenAllKnow(work, ending) { state in
            state.conclude(work, ending)
            if let period, let due { box = state.timeBoxes.open(work.changes, TimeBox(due: due, period: period)) }
        }
        if let pool { work.changes.forEach { settle($0, ending, with: pool) } }
        if case .kept = ending { tellKept(work, ending) }
        if let box, let due { watch(box, until: due) }
    }

    /// Reports pages that are in another ownership than before, although their change was taken back.
    private func tellKept(_ work: Work, _ ending: Ending) {
        var differences: [OwnershipDifference] = []
        work.changes.forEach { change in
            ending.forEachRun(of: change) { range, found in
                guard found != change.from else { return }
                differences.append(OwnershipDifference(range: range, before: change.from, after: found))
            }
        }
        emit(.reconnected(Reconciliation(ownership: differences, completed: [], failed: [])))
    }

    /// A pool was charged with what is shared, and with what was going to be.
    private func settle(_ change: OwnershipChange, _ ending: Ending, with pool: SharedPool) {
        let wasCharged = change.from == .shared || change.to == .shared
        ending.forEachRun(of: change) { range, final in
            if wasCharged, final != .shared { pool.giveBack(range.count) }
            if !wasCharged, final == .shared { pool.charge(range.count) }
        }
    }

    /// Does the last step of a claim, once the listeners that joined meanwhile know what they need to.
    func whenAllKnow(_ work: Work, _ ending: Ending, _ body: (inout ControllerState) -> Void) {
        while true {
            let late: [ListenerPort] = state.withLock { state in
                if !state.listeners.isEmpty, let last = state.claims[work.id]?.lastListener, last < state.lastListener {
                    state.claims[work.id]?.lastListener = state.lastListener
                    let late = state.listeners.filter { $0.id > last }
                    if !late.isEmpty { return late }
                }
                body(&state)
                return []
            }
            guard !late.isEmpty else { return }
            tell(late, work, ending)
        }
    }

    /// Tells listeners what has become of pages. Whoever refuses what it is to have is a listener no more.
    func tell(_ listeners: [ListenerPort], _ work: Work, _ ending: Ending) {
        for port in listeners {
            do { try port.follow(work.changes, ending) } catch {
                remove(port.id)
                emit(.dismissed(port.id, port.listener.name, error))
            }
        }
    }

    private func refuse(_ work: Work, _ refusal: Refusal, _ ending: Ending = .restored) -> ConversionError {
        conclude(work, ending)
        refused(refusal)
        return refusal.error(for: work.range)
    }

    func refused(_ refusal: Refusal) {
        switch refusal {
        case .backend(let error): if error.code == .lost { backendLost(error) }
        case .vetoed(let listener, let veto): emit(.vetoed(listener, veto))
        }
    }

    /// Has the pages of a time box become private when their time is over.
    func watch(_ box: UInt64, until due: Timestamp) {
        _ = executor.submit(at: due) { [weak self] in
            guard let self else { return }
            // Run by run, and only what is shared: a page in transit must not keep its neighbours shared.
            let ranges = self.state.withLock { $0.timeBoxes.ranges(of: box) }
            for range in ranges.flatMap({ self.runs(in: $0) }).filter({ $0.state == .shared }).map(\.range) {
                // What comes of it is an event; what is still shared then is asked for again.
                _ = try? self.convert(ConversionRequest(range, to: .private, by: .timeBox))
            }
            let now = self.executor.now
            if let next = self.state.withLock({ $0.timeBoxes.next(box, after: now, isLost: $0.lost != nil) }) {
                self.watch(box, until: next)
            }
        }
    }
}
