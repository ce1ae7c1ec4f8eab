#if Libvirt
public import Custody
import Glibc

// Changes that wait for others to let go: processes of the host, and the guest.
extension LibvirtBackend {
    // MARK: From the host

    /// Closes pages for the host, and sees who else has them.
    func takeFromHost(_ plan: ChangeLedger.Plan, _ reservation: Reservation) throws(BackendError) -> CommitOutcome {
        let module = modules[plan.module]
        let range = plan.change.range
        try hide(range, in: module)
        do throws(BackendError) {
            let blockers = try holders(of: range, in: module)
            guard blockers.isEmpty else { return wait(plan, reservation, blockers) }
            if plan.change.from == .host {
                try plug(plan)
                // Where QEMU could not be told from others, somebody may have come in with it. The guest has the module by
                // now: what cannot be seen, or cannot be closed again, is waited for, too.
                if sentry.means == .mode {
                    let isKeptOut = (try? module.keepOut()) != nil
                    let late = isKeptOut ? try? holders(of: range, in: module) : nil
                    guard let late, late.isEmpty else { return wait(plan, reservation, late ?? [], isPlugged: true) }
                }
            }
            return .completed(settle(plan, reservation))
        } catch {
            try? module.show(range)
            module.admit()
            throw error
        }
    }

    private func wait(
        _ plan: ChangeLedger.Plan,
        _ reservation: Reservation,
        _ blockers: [Blocker],
        isPlugged: Bool = false
    ) -> CommitOutcome {
        var waiting = ChangeLedger.Waiting(plan: plan, reservation: reservation, isPlugged: isPlugged)
        waiting.holders = blockers.map(\.holder)
        let handover = ledger.withLock { [waiting] in $0.wait(waiting) }
        look(after: handover, LibvirtBackend.firstLook)
        return .pending(handover, blockers: blockers)
    }

    private func holders(of range: PageRange, in module: MemoryModule) throws(BackendError) -> [Blocker] {
        do throws(HostError) {
            return try module.holders(of: range, but: emulator, at: executor.now, gate: gate)
        } catch {
            throw BackendError(.system, "who holds the pages cannot be found out", range: range, cause: error)
        }
    }

    // MARK: From the guest

    /// Asks the guest for a module, or takes one that it has given up already.
    func takeFromGuest(_ plan: ChangeLedger.Plan, _ reservation: Reservation) throws(BackendError) -> CommitOutcome {
        let module = modules[plan.module]
        let waiting = ChangeLedger.Waiting(plan: plan, reservation: reservation)
        let (handover, presence) = ledger.withLock { ($0.wait(waiting), $0.presence[plan.module]) }
        if presence == .plugged {
            do throws(BackendError) { try ask(for: module) } catch {
                let isStillThere = ledger.withLock { $0.waiting.removeValue(forKey: handover) != nil }
                if isStillThere { throw error }
            }
            return .pending(handover, blockers: [guestHolder(of: module)])
        }
        var blockers: [Blocker] = []
        do throws(HostError) { blockers = try hostHalf(of: module) } catch {
            _ = ledger.withLock { $0.waiting.removeValue(forKey: handover) }
            throw BackendError(.system, "who has the module cannot be found out", range: module.range, cause: error)
        }
        if blockers.isEmpty, ledger.withLock({ $0.waiting.removeValue(forKey: handover) }) != nil {
            try show(module.range, in: module)
            return .completed(settle(plan, reservation))
        }
        look(after: handover, LibvirtBackend.firstLook)
        return .pending(handover, blockers: blockers)
    }

    private func ask(for module: MemoryModule) throws(BackendError) {
        let wasAsked = module.isAsked
        module.isAsked = true
        do throws(VirError) {
            try domain.use { domain throws(VirError) in try domain.requestDetach(alias: module.alias) }
        } catch {
            switch module.isPlugged(into: domain) {
            // It has gone this moment: the event says so, or has said so.
            case false?: return
            // It was asked before, and is still: QEMU does not ask twice.
            case true? where wasAsked && error.code == .internalError: return
            case true?: module.isAsked = wasAsked
            // The connection is gone, and the guest may have been asked.
            case nil: break
            }
            throw examine(error.asBackendError("the guest cannot be asked for the module", range: module.range))
        }
    }

    func guestHolder(of module: MemoryModule) -> Blocker {
        Blocker(
            holder: Holder(device: "guest", purpose: "memory module \(module.alias)"),
            range: module.range,
            kind: .mapping,
            since: executor.now
        )
    }

    /// Who of the host has a module that the guest has given up: QEMU, for a moment; other processes.
    private func hostHalf(of module: MemoryModule) throws(HostError) -> [Blocker] {
        let isOurs = try module.file.isOurs()
        let others = try module.holders(of: module.range, but: 0, at: executor.now, gate: gate)
        guard others.isEmpty, !isOurs else { return others }
        // Nobody shows it, and somebody has it: QEMU frees memory a while after it has taken it off the list (by RCU).
        let holder = Holder(
            device: FileHolder.command(of: emulator),
            process: emulator,
            purpose: "module \(module.alias) is being freed"
        )
        return [Blocker(holder: holder, range: module.range, kind: .mapping, since: executor.now)]
    }

    /// The guest has let a module go.
    func released(_ number: Int) {
        let module = modules[number]
        let (handover, observer, isNews) = ledger.withLock { ledger in
            let isNews = ledger.presence[number] == .plugged
            if isNews { ledger.presence[number] = .released }
            return (ledger.removal(of: number), ledger.observer, isNews)
        }
        guard isNews else { return }
        module.isAsked = false
        guard let handover else {
            // Too late for who asked, or not asked for: whoever keeps the ownership should know.
            observer?.guestOffers(module.range)
            return
        }
        let blockers = (try? hostHalf(of: module)) ?? []
        observer?.handoverAdvanced(handover, stillHeldBy: blockers)
        recheck(handover)
        look(after: handover, LibvirtBackend.firstLook)
    }

    /// The guest keeps a module.
    func refused(_ number: Int) {
        modules[number].isAsked = false
        let (handover, waiting, observer) = ledger.withLock { ledger in
            let handover = ledger.removal(of: number)
            return (handover, handover.flatMap { ledger.waiting.removeValue(forKey: $0) }, ledger.observer)
        }
        guard let handover, let waiting else { return }
        _ = ledger.withLock { $0.plans.removeValue(forKey: waiting.reservation) }
        let error = BackendError(.refusedByGuest, "the guest keeps the module", range: modules[number].range)
        observer?.handoverFailed(handover, error)
    }

    // MARK: Looking again

    /// The time to the first further look at what waits. The kernel tells of most ends; not of a descriptor's that was copied
    /// by fork(2), for example.
    static let firstLook = Duration.milliseconds(5)
    private static let lastLook = Duration.milliseconds(250)

    private func look(after handover: BackendHandover, _ delay: Duration) {
        executor.submit(at: executor.now.advanced(by: delay)) { [weak self] in
            guard let self, ledger.withLock({ $0.waiting[handover] != nil && $0.lost == nil }) else { return }
            recheck(handover)
            look(after: handover, min(delay * 2, LibvirtBackend.lastLook))
        }
    }

    /// Looks at everything that waits for processes that have a module's file.
    func recheck(module number: Int) {
        let handovers = ledger.withLock { ledger in
            ledger.waiting.filter { $0.value.plan.module == number }.keys.sorted { $0.rawValue < $1.rawValue }
        }
        for handover in handovers { recheck(handover) }
    }

    /// What a look at a hand-over came to.
    private enum Look {
        case over(ChangeLedger.Waiting)
        case failed(ChangeLedger.Waiting, BackendError)
        case held([Blocker], isNews: Bool)
        case unknown
    }

    /// Ends what waits for nobody any more; on the executor.
    private func recheck(_ handover: BackendHandover) {
        let look = withTurn(at: handover) { self.look(at: handover) }
        let observer = ledger.withLock { $0.observer }
        switch look {
        case .over(let waiting):
            observer?.handoverCompleted(handover, settle(waiting.plan, waiting.reservation))
        case .failed(let waiting, let error):
            try? modules[waiting.plan.module].show(waiting.plan.change.range)
            modules[waiting.plan.module].admit()
            observer?.handoverFailed(handover, error)
        case .held(let blockers, isNews: true): observer?.handoverAdvanced(handover, stillHeldBy: blockers)
        case .held, .unknown: break
        }
    }

    /// Looks whether a hand-over waits for anybody, and takes it out where it does not. What cannot be seen now is looked at
    /// again.
    private func look(at handover: BackendHandover) -> Look {
        let (found, presence) = ledger.withLock { ledger in
            let found = ledger.lost == nil ? ledger.waiting[handover] : nil
            return (found, found.map { ledger.presence[$0.plan.module] })
        }
        guard let waiting = found else { return .unknown }
        let plan = waiting.plan
        let module = modules[plan.module]
        do {
            if plan.change.to == .host {
                // The guest's half comes by an event.
                guard presence != .plugged else { return .unknown }
                // The lease is one call, and who has the file a look at every process: that comes when the lease is had.
                guard try module.file.isOurs() else { return .held([], isNews: false) }
                let blockers = try hostHalf(of: module)
                guard blockers.isEmpty else { return .held(blockers, isNews: false) }
                try module.show(module.range)
            } else {
                try module.keepOut()
                let blockers = try holders(of: plan.change.range, in: module)
                let holders = blockers.map(\.holder)
                guard blockers.isEmpty else {
                    ledger.withLock { $0.waiting[handover]?.holders = holders }
                    return .held(blockers, isNews: holders != waiting.holders)
                }
            }
        } catch {
            return .unknown
        }
        if plan.change.from == .host, !waiting.isPlugged {
            do throws(BackendError) { try plug(plan) } catch {
                ledger.withLock { ledger in
                    ledger.waiting.removeValue(forKey: handover)
                    ledger.plans.removeValue(forKey: waiting.reservation)
                }
                return .failed(waiting, error)
            }
            // Where QEMU could not be told from others, somebody may have come in with it: that is for the next look.
            if sentry.means == .mode {
                ledger.withLock { $0.waiting[handover]?.isPlugged = true }
                return .unknown
            }
        }
        ledger.withLock { _ = $0.waiting.removeValue(forKey: handover) }
        return .over(waiting)
    }

    /// Takes back a hand-over that waits. Where the guest has let go already it is too late, and it completes by itself.
    /// Where the guest has not answered it may do so later: it cannot be told.
    public func withdraw(_ handover: BackendHandover) -> Bool {
        let taken: ChangeLedger.Waiting? = withTurn(at: handover) {
            ledger.withLock { ledger in
                guard let waiting = ledger.waiting[handover], !waiting.isPlugged else { return nil }
                if waiting.plan.change.to == .host, ledger.presence[waiting.plan.module] != .plugged { return nil }
                ledger.plans.removeValue(forKey: waiting.reservation)
                return ledger.waiting.removeValue(forKey: handover)
            }
        }
        guard let taken else { return false }
        let module = modules[taken.plan.module]
        if taken.plan.change.to == .private {
            try? module.show(taken.plan.change.range)
            module.admit()
            if taken.plan.tookMemory { try? module.returnMemory() }
        }
        return true
    }
}

#endif
