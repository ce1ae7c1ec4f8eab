public import Custody

// A change from its preparation to its end.
extension KVMBackend {
    /// Checks that the pages are where the change says, that nothing stale is in their new place, and that there are
    /// memory slots enough; holds those.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` for pages that are not RAM, not whole units of the
    ///   granularity or not in that ownership, with `resourcesExhausted` where KVM has not slots enough: converting
    ///   fewer, larger or neighbouring runs then still works. Nothing has changed.
    /// - Complexity: O(log *n*) in the number of slots, and O(*m* / 64) in the number of pages.
    public func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        let range = change.range
        try checkShape(of: range)
        try dropResidues(in: range)
        let result = ledger.withLock { ledger -> Result<Reservation, BackendError> in
            if let lost = ledger.lost { return .failure(lost) }
            guard let before = placement(of: range, ledger) else {
                return .failure(KVMBackend.scattered(range))
            }
            let after = placement(in: change.to, insteadOf: before)
            guard change.from == .inTransit || before == placement(in: change.from, insteadOf: before) else {
                return .failure(BackendError(.invalidArgument, "the pages are not \(change.from)", range: range))
            }
            let growth = SlotMap.growth(of: ledger.slots.steps(for: range, to: after.backing) ?? [])
            guard ledger.hasRoom(for: growth) else { return .failure(KVMBackend.noSlots(range)) }
            return .success(
                ledger.add(ChangePlan(change: change, before: before, after: after, slots: max(0, growth)))
            )
        }
        return PreparedChange(change, reservation: try result.get(), of: self)
    }

    /// Takes the pages to their new place. The pages before are kept.
    ///
    /// - Returns: `pending` where somebody holds a reference that only the kernel sees: it is looked for again, ever more
    ///   seldom but at least ten times a second, until it is gone.
    public func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        guard let plan = ledger.withLock({ $0.remove(reservation) }) else {
            throw BackendError(.invalidArgument, "the change was not prepared here", range: change.range)
        }
        switch try move(change.range, to: plan.after, holding: plan.slots) {
        case .moved(let growth): return .completed(committed(plan, growth: growth))
        case .held(let page):
            let handover = held.add(ledger.withLock { $0.add(plan) })
            scheduleAttempt(handover, after: HeldChanges.firstDelay)
            return .pending(handover, blockers: [unknownHolder(of: page)])
        }
    }

    /// Drops the pages that nobody may reach any more.
    public func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        guard let reservation = committed.take(for: self), let plan = ledger.withLock({ $0.remove(reservation) })
        else { return .unspecified }
        guard plan.isConversion else { return .preserved }
        dropStale(plan.before.visibility, plan.change.range)
        return mode.conversionEffect
    }

    /// Takes the pages to their place before, and drops what has come into the new one.
    ///
    /// In the mode ``KVMMode/inPlace`` the kernel promises nothing for the bytes, here as over any conversion; and a page
    /// that was private before and is held by then is waited for, for a second at most.
    public func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        guard let reservation = committed.take(for: self), let plan = ledger.withLock({ $0.remove(reservation) })
        else { throw BackendError(.invalidArgument, "the change was not made here", range: change.range) }
        do throws(BackendError) {
            var delay = HeldChanges.firstDelay
            while case .held(let page) = try move(change.range, to: plan.before, holding: nil) {
                guard delay < .milliseconds(512) else {
                    throw BackendError(.resourcesExhausted, "a page is held", range: try? PageRange(page))
                }
                _ = Monitor(()).wait(for: delay) { _ -> Void? in nil }
                delay *= 2
            }
        } catch {
            throw lose(BackendError(.lost, "a change cannot be taken back", range: change.range, cause: error))
        }
        if plan.isConversion { dropStale(plan.after.visibility, change.range) }
    }

    /// Gives back the slots that a change holds.
    public func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {
        _ = ledger.withLock { $0.remove(reservation) }
    }

    /// Withdraws a hand-over that waits for a reference; nothing has been moved for it. Waits for an attempt under way.
    public func withdraw(_ handover: BackendHandover) -> Bool {
        guard let (reservation, timer) = held.withdraw(handover) else { return false }
        if let timer { executor.withdraw(timer) }
        _ = ledger.withLock { $0.remove(reservation) }
        return true
    }

    private func committed(_ plan: ChangePlan, growth: Int) -> CommittedChange {
        var plan = plan
        plan.slots = max(0, -growth)
        let kept = plan
        return CommittedChange(plan.change, reservation: ledger.withLock { $0.add(kept) }, of: self)
    }

    // MARK: Hand-overs that wait

    private func scheduleAttempt(_ handover: BackendHandover, after delay: Duration) {
        let timer = executor.submit(at: executor.now.advanced(by: delay)) { [weak self] in
            self?.attempt(handover, delay)
        }
        if !held.keep(timer, for: handover) { executor.withdraw(timer) }
    }

    /// Tries to carry a hand-over out that waits; on the executor.
    private func attempt(_ handover: BackendHandover, _ delay: Duration) {
        guard let reservation = held.begin(handover) else { return }
        let (plan, lost, observer) = ledger.withLock { ($0.remove(reservation), $0.lost, $0.observer) }
        guard let plan, lost == nil else {
            held.end(handover)
            let gone = BackendError(.lost, "the hand-over is not known any more")
            observer?.handoverFailed(handover, lost ?? gone)
            return
        }
        do throws(BackendError) {
            switch try move(plan.change.range, to: plan.after, holding: plan.slots) {
            case .moved(let growth):
                held.end(handover)
                let change = committed(plan, growth: growth)
                observer?.handoverCompleted(handover, change)
            case .held:
                held.keep(handover, ledger.withLock { $0.add(plan) })
                scheduleAttempt(handover, after: min(delay * 2, HeldChanges.lastDelay))
            }
        } catch {
            held.end(handover)
            observer?.handoverFailed(handover, error)
        }
    }

    private func unknownHolder(of page: PageNumber) -> Blocker {
        Blocker(
            holder: Holder(device: "unknown", purpose: "a reference that only the kernel sees"),
            range: PageRange(uncheckedStart: page.rawValue, count: 1),
            kind: .pin,
            since: executor.now
        )
    }
}
