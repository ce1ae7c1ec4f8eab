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
            let blockers: [Blocker]
            do throws(HostError) { blockers = try holders(plan, isPlugged: false) } catch {
                throw BackendError(.system, "who holds the pages cannot be found out", range: range, cause: error)
            }
            guard blockers.isEmpty else { return wait(plan, reservation, blockers) }
            if plan.change.from == .host {
                try plug(plan)
                // Where QEMU could not be told from others, somebody may have come in with it. The guest has the module by
                // now: what cannot be seen, or cannot be closed again, is waited for, too.
                if sentry.means == .mode {
                    let late = lookAgain(plan, isPlugged: true)
                    guard late.isEmpty else { return wait(plan, reservation, late, isPlugged: true) }
                }
            }
            return .completed(settle(plan, reservation))
        } catch {
            reopen(range, in: module)
            throw error
        }
    }

    /// Who stands in the way of a change that waits. What cannot be seen, or closed, does.
    private func lookAgain(_ plan: ChangeLedger.Plan, isPlugged: Bool) -> [Blocker] {
        let module = modules[plan.module]
        do throws(HostError) {
            try module.keepOut()
            return try holders(plan, isPlugged: isPlugged)
        } catch {
            return [unseen(in: plan.change.range, "\(error)")]
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

    /// Who of the host stands in the way of pages that are to be private.
    private func holders(_ plan: ChangeLedger.Plan, isPlugged: Bool) throws(HostError) -> [Blocker] {
        let module = modules[plan.module]
        let range = plan.change.range
        guard plan.change.from == .host, !isPlugged else {
            return try module.holders(of: range, but: emulator, at: executor.now)
        }
        // Not even QEMU has the file: the kernel knows of descriptors, too, that no process shows.
        return try everybody(at: module, else: unseen(in: range, "a descriptor that no process shows"))
    }

    /// Who has a module that nobody of the host is to have; `other` where there is somebody whom no process shows.
    private func everybody(at module: MemoryModule, else other: Blocker) throws(HostError) -> [Blocker] {
        // Where nobody has a descriptor of its own, only copies of this process's own are left.
        guard try !module.isOurs() else {
            return try module.holders(of: module.range, but: nil, at: executor.now)
        }
        let others = try module.everybody(at: executor.now)
        return others.isEmpty ? [other] : others
    }

    /// Somebody who is taken to be there.
    private func unseen(in range: PageRange, _ why: String) -> Blocker {
        Blocker(holder: Holder(device: "unknown", purpose: why), range: range, kind: .pin, since: executor.now)
    }

    /// Opens pages again that were closed for a change that is not to be, and lets others in: as often as it takes.
    func reopen(_ range: PageRange, in module: MemoryModule, after delay: Duration = .zero) {
        do throws(HostError) {
            // A change that has come in between has its plan in the ledger before it closes anything.
            try module.show(range) { delay == .zero || ledger.withLock { $0.isAtRest(range) } }
            module.admit()
        } catch {
            let next = min(max(delay * 2, .milliseconds(10)), .seconds(1))
            executor.submit(at: executor.now.advanced(by: next)) { [weak self] in
                self?.reopen(range, in: module, after: next)
            }
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
                // It may have reached the guest all the same: where that has let go by now, the change goes on.
                let isVain = ledger.withLock { $0.presence[plan.module] == .plugged }
                if isVain, takeOut(handover) != nil { throw error }
            }
            return .pending(handover, blockers: [guestHolder(of: module)])
        }
        var blockers: [Blocker] = []
        do throws(HostError) { blockers = try hostHalf(of: module) } catch {
            takeOut(handover)
            throw BackendError(.system, "who has the module cannot be found out", range: module.range, cause: error)
        }
        if blockers.isEmpty, takeOut(handover) != nil {
            try show(module.range, in: module)
            return .completed(settle(plan, reservation))
        }
        look(after: handover, LibvirtBackend.firstLook)
        return .pending(handover, blockers: blockers)
    }

    func ask(for module: MemoryModule) throws(BackendError) {
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
        try everybody(at: module, else: freeing(module))
    }

    /// QEMU, which frees memory a while after it has taken it off the list (by RCU).
    private func freeing(_ module: MemoryModule) -> Blocker {
        let holder = Holder(
            device: FileHolder.command(of: emulator),
            process: emulator,
            purpose: "module \(module.alias) is being freed"
        )
        return Blocker(holder: holder, range: module.range, kind: .mapping, since: executor.now)
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
        let blockers: [Blocker]
        do throws(HostError) { blockers = try hostHalf(of: module) } catch { blockers = [freeing(module)] }
        _ = held(handover, by: blockers)
        observer?.handoverAdvanced(handover, stillHeldBy: blockers)
        recheck(handover)
        look(after: handover, LibvirtBackend.firstLook)
    }

    /// The guest keeps a module.
    func refused(_ number: Int) {
        modules[number].isAsked = false
        let (handover, observer) = ledger.withLock { ($0.removal(of: number), $0.observer) }
        guard let handover, let waiting = takeOut(handover) else { return }
        drop(waiting.reservation)
        let error = BackendError(.refusedByGuest, "the guest keeps the module", range: modules[number].range)
        observer?.handoverFailed(handover, error)
    }

    // MARK: Looking again

    /// The time to the first further look at what waits. The kernel tells of most ends; not of a descriptor's that was copied
    /// by fork(2), for example.
    static let firstLook = Duration.milliseconds(5)
    private static let lastLook = Duration.milliseconds(250)

    private func look(after handover: BackendHandover, _ delay: Duration) {
        let timer = executor.submit(at: executor.now.advanced(by: delay)) { [weak self] in
            guard let self, ledger.withLock({ $0.waiting[handover] != nil && $0.lost == nil }) else { return }
            recheck(handover)
            look(after: handover, min(delay * 2, LibvirtBackend.lastLook))
        }
        let stale: TimerID? = ledger.withLock { ledger in
            guard ledger.waiting[handover] != nil else { return timer }
            defer { ledger.waiting[handover]?.timer = timer }
            return ledger.waiting[handover]?.timer
        }
        if let stale { executor.withdraw(stale) }
    }

    /// Takes out what does not wait any more; nobody looks at it again.
    @discardableResult
    private func takeOut(_ handover: BackendHandover) -> ChangeLedger.Waiting? {
        let waiting = ledger.withLock { $0.waiting.removeValue(forKey: handover) }
        if let timer = waiting?.timer { executor.withdraw(timer) }
        return waiting
    }

    /// Takes everything out that waits.
    func forgetWaiting() {
        let all = ledger.withLock { ledger in
            defer { ledger.waiting = [:] }
            return ledger.waiting.values.compactMap(\.timer)
        }
        for timer in all { executor.withdraw(timer) }
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
        /// Nobody has the pages: the guest can have the module.
        case free(ChangeLedger.Plan)
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
        case .free(let plan):
            // Libvirt is asked beside all other work: it may take its time.
            executor.submitConcurrently { [weak self] in
                guard let self else { return }
                let result = Result { () throws(BackendError) in try plug(plan) }
                executor.submit { [weak self] in self?.plugged(handover, result) }
            }
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
        guard let waiting = found, !waiting.isPlugging else { return .unknown }
        let plan = waiting.plan
        let module = modules[plan.module]
        let blockers: [Blocker]
        if plan.change.to == .host {
            // The guest's half comes by an event.
            guard presence != .plugged else { return .unknown }
            do throws(HostError) {
                // The lease is one call, and who has the file a look at every process: that comes when the lease is had.
                guard try module.file.isOurs() else { return .held([], isNews: false) }
                blockers = try hostHalf(of: module)
                if blockers.isEmpty { try module.show(module.range) }
            } catch {
                return held(handover, by: [unseen(in: module.range, "\(error)")])
            }
        } else {
            blockers = confirm(lookAgain(plan, isPlugged: waiting.isPlugged), waiting)
        }
        guard blockers.isEmpty else { return held(handover, by: blockers) }
        if plan.change.from == .host, !waiting.isPlugged {
            ledger.withLock { $0.waiting[handover]?.isPlugging = true }
            return .free(plan)
        }
        takeOut(handover)
        return .over(waiting)
    }

    /// Looks a few times more where somebody had the pages before, and nobody is found any more: processes can pass a descriptor
    /// to and fro (pidfd_getfd(2)), and a look goes from one to the next.
    private func confirm(_ found: [Blocker], _ waiting: ChangeLedger.Waiting) -> [Blocker] {
        var blockers = found
        for _ in 0..<LibvirtBackend.confirmations where blockers.isEmpty && !waiting.holders.isEmpty {
            modules[waiting.plan.module].file.cleared.forget()
            blockers = lookAgain(waiting.plan, isPlugged: waiting.isPlugged)
        }
        return blockers
    }

    /// How often nobody has to be found once more.
    static let confirmations = 3

    /// The guest has the module of a hand-over, or cannot have it.
    private func plugged(_ handover: BackendHandover, _ result: Result<Void, BackendError>) {
        if case .success = result, sentry.means == .mode {
            // QEMU could not be told from others: somebody may have come in with it.
            ledger.withLock { ledger in
                ledger.waiting[handover]?.isPlugging = false
                ledger.waiting[handover]?.isPlugged = true
            }
            return recheck(handover)
        }
        guard let waiting = takeOut(handover) else { return }
        let observer = ledger.withLock { $0.observer }
        switch result {
        case .success: observer?.handoverCompleted(handover, settle(waiting.plan, waiting.reservation))
        case .failure(let error):
            reopen(waiting.plan.change.range, in: modules[waiting.plan.module])
            drop(waiting.reservation)
            observer?.handoverFailed(handover, error)
        }
    }

    /// Notes who holds a hand-over up.
    private func held(_ handover: BackendHandover, by blockers: [Blocker]) -> Look {
        let holders = blockers.map(\.holder)
        let isNews = ledger.withLock { ledger in
            defer { ledger.waiting[handover]?.holders = holders }
            return ledger.waiting[handover].map { $0.holders != holders } ?? false
        }
        return .held(blockers, isNews: isNews)
    }

    /// Takes back a hand-over that waits. Where the guest has let go already it is too late, and it completes by itself.
    /// Where the guest has not answered it may do so later: it cannot be told.
    public func withdraw(_ handover: BackendHandover) -> Bool {
        let taken: ChangeLedger.Waiting? = withTurn(at: handover) {
            ledger.withLock { ledger in
                guard let waiting = ledger.waiting[handover], !waiting.isPlugged, !waiting.isPlugging
                else { return nil }
                if waiting.plan.change.to == .host, ledger.presence[waiting.plan.module] != .plugged { return nil }
                return ledger.waiting.removeValue(forKey: handover)
            }
        }
        guard let taken else { return false }
        if let timer = taken.timer { executor.withdraw(timer) }
        let module = modules[taken.plan.module]
        if taken.plan.change.to == .private { reopen(taken.plan.change.range, in: module) }
        drop(taken.reservation)
        return true
    }
}

#endif
