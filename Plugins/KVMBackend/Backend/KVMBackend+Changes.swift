public import Custody

// A change from its plan to its end.
extension KVMBackend {
    /// Checks that the pages are where the change says, that nothing stale is in their new place, and that there are
    /// memory slots enough; holds those.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` for pages that are not in that ownership, with
    ///   `resourcesExhausted` where KVM has not slots enough: converting fewer, larger or neighbouring runs then still works.
    /// - Complexity: O(log *n*) in the number of slots, and O(*m* / 64) in the number of pages.
    public func plan(_ change: OwnershipChange) throws(BackendError) -> ChangePlan {
        let range = change.range
        try dropResidues(in: range)
        return try ledger.withLock { ledger -> Result<ChangePlan, BackendError> in
            guard let before = placement(of: range, ledger) else {
                return .failure(KVMBackend.scattered(range))
            }
            let after = placement(in: change.to, insteadOf: before)
            guard change.from == .inTransit || before == placement(in: change.from, insteadOf: before) else {
                return .failure(BackendError(.invalidArgument, "the pages are not \(change.from)", range: range))
            }
            let growth = max(0, SlotMap.growth(of: ledger.slots.steps(for: range, to: after.backing) ?? []))
            guard ledger.hasRoom(for: growth) else { return .failure(KVMBackend.noSlots(range)) }
            ledger.reserved += growth
            return .success(ChangePlan(before: before, after: after, slots: growth))
        }.get()
    }

    /// Takes the pages to their new place. The pages before are kept.
    ///
    /// - Returns: `held` where somebody holds a reference that only the kernel sees.
    public func move(_ planned: inout PlannedChange<ChangePlan>) throws(BackendError) -> MoveOutcome {
        let plan = planned.token
        switch try relocate(planned.change.range, to: plan.after, holding: plan.slots) {
        case .moved(let growth):
            planned.token.slots = max(0, -growth)
            let difference = planned.token.slots - plan.slots
            ledger.withLock { $0.reserved += difference }
            return .done
        case .held(let page): return .held(by: [unknownHolder(of: page)])
        }
    }

    /// Drops the pages that nobody may reach any more.
    public func drop(_ planned: PlannedChange<ChangePlan>) -> ContentsEffect {
        release(planned)
        guard planned.token.isConversion else { return .preserved }
        dropStale(planned.token.before.visibility, planned.change.range)
        return mode.conversionEffect
    }

    /// Takes the pages to their place before, and drops what has come into the new one.
    ///
    /// In the mode ``KVMMode/inPlace`` the kernel promises nothing for the bytes, here as over any conversion; and a page
    /// that was private before and is held by then is waited for, for a second at most.
    public func moveBack(_ planned: PlannedChange<ChangePlan>) throws(BackendError) {
        let range = planned.change.range
        defer { release(planned) }
        var attempts = 0
        while case .held(let page) = try relocate(range, to: planned.token.before, holding: nil) {
            attempts += 1
            guard let wait = KVMBackend.undoing.wait(afterAttempts: attempts) else {
                throw BackendError(.resourcesExhausted, "a page is held", range: try? PageRange(page))
            }
            _ = Monitor(()).wait(for: wait) { _ -> Void? in nil }
        }
        if planned.token.isConversion { dropStale(planned.token.after.visibility, range) }
    }

    /// A second, all in all.
    private static let undoing = Backoff(first: .milliseconds(1), longest: .seconds(1), attempts: 10)

    /// Gives back the slots that a change holds.
    public func release(_ planned: PlannedChange<ChangePlan>) {
        ledger.withLock { $0.reserved -= planned.token.slots }
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
