#if Libvirt
public import Custody

// A change from its preparation to its end.
extension LibvirtBackend {
    /// Checks that the pages are where the change says. For a module that is to be given to the guest, takes its memory.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` for pages that are not in one module, not in that ownership, or
    ///   not all of a module where it comes or goes; with `resourcesExhausted` where the system has not memory enough.
    public func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        let range = change.range
        guard let number = modules.firstIndex(where: { $0.range.contains(range) }) else {
            throw BackendError(.invalidArgument, "the pages are not in one module of memory", range: range)
        }
        guard range.isAligned(to: layout.granularity) else {
            throw BackendError(
                .invalidArgument,
                "ownership changes in units of \(ByteCount(layout.granularity.bytes))",
                range: range
            )
        }
        if change.to == .private, !unacceptedProcesses.isEmpty { throw unseen(range) }
        let isMove = change.from == .host || change.to == .host
        guard !isMove || range == modules[number].range else {
            throw BackendError(.invalidArgument, "a module comes and goes as a whole", range: range)
        }
        try ledger.withLock { ledger throws(BackendError) in
            if let lost = ledger.lost { throw lost }
            guard ledger.ownership.isUniform(range, change.from), change.to != .inTransit else {
                throw BackendError(.invalidArgument, "the pages are not \(change.from)", range: range)
            }
        }
        let tookMemory = change.from == .host && takesMemory ? try modules[number].takeMemory() : false
        let plan = ChangeLedger.Plan(change: change, module: number, tookMemory: tookMemory)
        return PreparedChange(change, reservation: ledger.withLock { $0.add(plan) }, of: self)
    }

    /// Gives back what ``prepare(_:)`` took.
    public func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) { drop(reservation) }

    /// Forgets a change that is not to be.
    func drop(_ reservation: Reservation) {
        let plan = ledger.withLock { $0.plans.removeValue(forKey: reservation) }
        // Where it cannot be given back now, it is with the next change of the module.
        if let plan, plan.tookMemory { try? modules[plan.module].returnMemory() }
    }

    /// Carries the change out, or begins to.
    ///
    /// - Returns: `pending` where the guest has to be asked for a module, and where other processes have pages that are to
    ///   be private: who they are is said.
    public func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        guard let plan = ledger.withLock({ $0.plans[reservation] }) else {
            throw BackendError(.invalidArgument, "the change was not prepared here", range: change.range)
        }
        do throws(BackendError) {
            switch (change.from, change.to) {
            case (.private, .shared):
                try show(change.range, in: modules[plan.module])
                return .completed(settle(plan, reservation))
            case (.host, .shared):
                try plug(plan)
                return .completed(settle(plan, reservation))
            case (_, .private): return try takeFromHost(plan, reservation)
            default: return try takeFromGuest(plan, reservation)
            }
        } catch {
            drop(reservation)
            throw error
        }
    }

    /// Ends a change for good.
    public func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        let change = committed.change
        guard let reservation = committed.take(for: self),
            let plan = ledger.withLock({ $0.plans.removeValue(forKey: reservation) })
        else { return .unspecified }
        let module = modules[plan.module]
        module.admit()
        if change.to == .host { returnMemory(of: plan.module, after: .zero) }
        return capabilities.contentsEffect(of: change.to)
    }

    /// Gives a module's memory back to the system, again and again until it takes it, or the guest has the module again.
    private func returnMemory(of number: Int, after delay: Duration) {
        let isHosts = ledger.withLock { ledger in
            !ledger.isEnded && ledger.presence[number] == .absent
                && !ledger.plans.values.contains { $0.module == number }
        }
        guard isHosts else { return }
        do throws(HostError) { try modules[number].returnMemory() } catch {
            let next = min(max(delay * 2, .milliseconds(10)), .seconds(1))
            executor.submit(at: executor.now.advanced(by: next)) { [weak self] in
                self?.returnMemory(of: number, after: next)
            }
        }
    }

    /// Takes a change back: a module that the guest gave up is plugged in again with the bytes that it had.
    ///
    /// A module that was given to the guest can be had back only where the guest lets it go. Where it does not do so within
    /// `patience` it is shared, and is offered when the guest has let it go after all.
    public func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        guard let reservation = committed.take(for: self),
            let plan = ledger.withLock({ $0.plans[reservation] })
        else { throw BackendError(.invalidArgument, "the change was not made here", range: change.range) }
        let module = modules[plan.module]
        let isKept = change.from == .host && !takeBack(plan.module)
        do throws(BackendError) {
            if change.to == .host { try plug(plan) }
            if change.from == .private {
                try hide(change.range, in: module)
            } else {
                try show(change.range, in: module)
            }
        } catch {
            throw lose(BackendError(.lost, "a change cannot be taken back", range: change.range, cause: error))
        }
        ledger.withLock { ledger in
            ledger.ownership.set(change.range, to: isKept ? .shared : change.from)
            // The guest has what is in it.
            if isKept { ledger.plans.removeValue(forKey: reservation) }
        }
        module.admit()
        guard isKept else { return drop(reservation) }
        // It may have gone since it was looked at last, and the event of that was nobody's.
        executor.submit { [weak self] in self?.catchUp() }
        throw BackendError(.refusedByGuest, "the guest keeps the module that it was given", range: change.range)
    }

    private func unseen(_ range: PageRange) -> BackendError {
        let kinds = unacceptedProcesses.sorted { $0.rawValue < $1.rawValue }
        let names = kinds.map(\.rawValue).joined(separator: ", ")
        return BackendError(
            .unsupported,
            "whether pages are private cannot be seen: this process may not look into "
                + kinds.map { "\($0)" }.joined(separator: ", nor ")
                + "; ‘accept-unseen: [\(names)]’ takes them not to have the pages",
            range: range
        )
    }

    // MARK: Steps

    /// Notes that the pages have changed hands.
    func settle(_ plan: ChangeLedger.Plan, _ reservation: Reservation) -> CommittedChange {
        let change = plan.change
        ledger.withLock { ledger in
            ledger.ownership.set(change.range, to: change.to)
            if change.to == .host { ledger.presence[plan.module] = .absent }
        }
        return CommittedChange(change, reservation: reservation, of: self)
    }

    /// Gives the guest a module.
    func plug(_ plan: ChangeLedger.Plan) throws(BackendError) {
        let module = modules[plan.module]
        do throws(BackendError) {
            try module.plug(into: domain, runBy: emulator, folders, patience: patience, gate: gate)
        } catch {
            throw examine(error)
        }
        module.isAsked = false
        ledger.withLock { $0.presence[plan.module] = .plugged }
    }

    func hide(_ range: PageRange, in module: MemoryModule) throws(BackendError) {
        do throws(HostError) { try module.hide(range) } catch {
            throw BackendError(.system, "the pages cannot be closed", range: range, cause: error)
        }
    }

    func show(_ range: PageRange, in module: MemoryModule) throws(BackendError) {
        do throws(HostError) { try module.show(range) } catch {
            throw BackendError(.system, "the pages cannot be opened", range: range, cause: error)
        }
    }

    /// Has the guest give a module back that it was given a moment ago, and waits for that. What happens meanwhile comes to a
    /// listener of its own: this may be the thread that the other one's events come to.
    ///
    /// - Returns: whether it has. Where it has not, it is still asked, unless it has refused.
    private func takeBack(_ number: Int) -> Bool {
        let module = modules[number]
        // What becomes of it is seen here; the event is nobody's.
        ledger.withLock { $0.presence[number] = .absent }
        module.isAsked = true
        var isAsked = false
        let isBack: Bool?
        do throws(BackendError) {
            isBack = try domain.watch().wait(for: patience) { events -> Bool? in
                if events.contains(.deviceRemovalFailed(module.alias)) { return false }
                // What QEMU does not take is asked again.
                if !isAsked {
                    let asked: Void? = try? domain.use { domain throws(VirError) in
                        try domain.requestDetach(alias: module.alias)
                    }
                    isAsked = asked != nil
                }
                return module.isPlugged(into: domain) == false && isLetGo(module) ? true : nil
            }
        } catch {
            // Without a listener the guest cannot be waited for.
            isBack = nil
        }
        if isBack != nil { module.isAsked = false }
        guard isBack == true else {
            ledger.withLock { $0.presence[number] = .plugged }
            return false
        }
        return true
    }

    /// Whether QEMU does not have a module's file any more; another process may have it, as before the guest did.
    private func isLetGo(_ module: MemoryModule) -> Bool {
        if (try? module.file.isOurs()) == true { return true }
        let holders = try? module.everybody(at: executor.now).map(\.holder.process)
        return holders.map { !$0.isEmpty && !$0.contains(emulator) } ?? false
    }
}

#endif
