#if Libvirt
import Custody

// What libvirt tells, and what it means. All of it runs on the executor.
extension LibvirtBackend {
    /// What happens to the domain from now on: its life, its devices, its balloon.
    ///
    /// A lost connection is made again without an end of the sequence: ``DomainEvent/Kind/disconnected(_:)`` comes, and
    /// ``DomainEvent/Kind/reconcile`` with the new one. The sequence ends with the back end, or when the domain is lost.
    ///
    /// - Parameter capacity: how many events may wait to be taken, one or more.
    public func domainEvents(capacity: Int = 256) -> DomainEvents { listeners.listen(capacity: capacity) }

    /// Takes what has come in.
    func takeEvents() {
        for event in domain.events.takeAll() where event.domain == nil || event.domain == domain.uuid {
            listeners.append(event)
            switch event.kind {
            case .deviceRemoved(let alias): if let number = number(of: alias) { released(number) }
            case .deviceRemovalFailed(let alias): if let number = number(of: alias) { refused(number) }
            case .stopped(let stop): ended(stop)
            case .disconnected: reconnect(after: .zero)
            // A guest that has been restarted is asked again.
            case .reconcile, .rebooted: catchUp()
            case .crashed(.panicked), .crashed(.unknown): catchUp()
            default: break
            }
        }
    }

    private func number(of alias: String) -> Int? { modules.firstIndex { $0.alias == alias } }

    private func ended(_ stop: DomainEvent.Stop) {
        if ledger.withLock({ $0.lost == nil }) { _ = lose(BackendError(.lost, "the domain has ended: \(stop)")) }
        // Behind the events that have come in with it.
        executor.submit { [listeners] in listeners.end() }
    }

    /// Sees what the guest has, where events may have been missed: the live description is the truth.
    ///
    /// What it does not tell is that a guest has refused. So a guest that still has what it was asked for is asked again:
    /// one that has not answered yet is none the wiser, and one that has answers once more.
    ///
    /// - Returns: whether the guest has what it was not known to have; it is shared then.
    @discardableResult
    func reconcile() -> Bool {
        // What is being plugged in or taken back this moment is neither there nor not: it is looked at afterwards.
        let before: [ChangeLedger.Presence?]? = ledger.withLock { ledger in
            ledger.lost == nil ? modules.indices.map { ledger.isMoving($0) ? nil : ledger.presence[$0] } : nil
        }
        guard let before else { return false }
        let live: XMLElement
        do throws(BackendError) { live = try domain.describe() } catch {
            if examine(error).code != .lost { catchUpLater() }
            return false
        }
        var isNews = false
        for (number, module) in modules.enumerated() {
            let isPlugged = live.memoryModule(module.alias) != nil
            let presence = ledger.withLock { $0.isMoving(number) ? nil : $0.presence[number] }
            guard let presence, presence == before[number] else { continue }
            switch presence {
            case .plugged where !isPlugged: released(number)
            case .plugged: if isOurs(module) { askAgain(number) }
            case .absent where isPlugged:
                guard isOurs(module) else { break }
                found(number)
                isNews = true
            case .absent, .released: break
            }
        }
        if before.contains(nil) { catchUpLater() }
        return isNews
    }

    /// Whether the guest's module is made of our file. Where it is not, nothing that is known of it is so: the guest is lost.
    private func isOurs(_ module: MemoryModule) -> Bool {
        do throws(BackendError) { try module.check(domain, runBy: emulator, gate: gate) } catch {
            // What has gone this moment is looked at again, and so is what nobody can tell.
            if error.code == .lost, module.isPlugged(into: domain) == true { _ = lose(error) } else { catchUpLater() }
            return false
        }
        return true
    }

    /// Another process has changed a module's contents by a call that nobody is asked about, as truncate(2): its private
    /// pages were within reach.
    func contentsChanged(of number: Int) {
        let module = modules[number]
        let isBusy = ledger.withLock { ledger in ledger.plans.values.contains { $0.module == number } }
        // What is under way ends first: it has a way back to the ownership before.
        guard !isBusy else {
            executor.submit(at: executor.now.advanced(by: LibvirtBackend.firstLook)) { [weak self] in
                self?.contentsChanged(of: number)
            }
            return
        }
        let (ranges, ownership, observer) = ledger.withLock { ledger in
            let ranges = ledger.ownership.runs(in: module.range).filter { $0.state == .private }.map(\.range)
            for range in ranges { ledger.ownership.set(range, to: .shared) }
            return (ranges, ledger.ownership, ledger.lost == nil ? ledger.observer : nil)
        }
        guard !ranges.isEmpty else { return }
        for range in ranges { reopen(range, in: module) }
        observer?.backendReconnected(finding: ownership)
    }

    private func catchUpLater() {
        executor.submit(at: executor.now.advanced(by: .milliseconds(250))) { [weak self] in self?.catchUp() }
    }

    /// Reconciles, and has whoever keeps the ownership follow.
    func catchUp() {
        guard reconcile() else { return }
        let (ownership, observer) = ledger.withLock { ($0.ownership, $0.observer) }
        observer?.backendReconnected(finding: ownership)
    }

    /// Asks for a module whose hand-over waits for the guest's answer, which may have been missed.
    private func askAgain(_ number: Int) {
        guard ledger.withLock({ $0.removal(of: number) != nil }) else { return }
        // Where that fails it is as before.
        try? ask(for: modules[number])
    }

    /// The guest has a module that it was not known to have: a call that seemed to have failed, or somebody else's. Nobody
    /// wants it there.
    private func found(_ number: Int) {
        let module = modules[number]
        ledger.withLock { ledger in
            ledger.presence[number] = .plugged
            ledger.ownership.set(module.range, to: .shared)
        }
        try? ask(for: module)
    }

    // MARK: The connection

    /// Connects again, as often as it takes.
    func reconnect(after delay: Duration) {
        let isFirst = ledger.withLock { ledger in
            guard ledger.lost == nil, !ledger.isReconnecting || delay > .zero else { return false }
            ledger.isReconnecting = true
            return true
        }
        guard isFirst else { return }
        do throws(VirError) {
            guard try domain.reconnect() else {
                _ = lose(BackendError(.lost, "the domain is gone"))
                return
            }
            ledger.withLock { $0.isReconnecting = false }
            listeners.append(DomainEvent(domain: nil, .reconcile))
            reconcile()
            let (ownership, observer, isLost) = ledger.withLock { ($0.ownership, $0.observer, $0.lost != nil) }
            if !isLost { observer?.backendReconnected(finding: ownership) }
        } catch {
            let next = min(max(delay * 2, .milliseconds(20)), .seconds(1))
            executor.submit(at: executor.now.advanced(by: next)) { [weak self] in self?.reconnect(after: next) }
        }
    }

    // MARK: Errors

    /// Finds out what an error of libvirt means for the guest: it is there, it is gone, or nobody can tell at the moment.
    func examine(_ error: BackendError) -> BackendError {
        // What is not said by libvirt is known.
        guard error.cause is VirError else { return error.code == .lost ? lose(error) : error }
        do throws(VirError) {
            guard try domain.use({ domain throws(VirError) in try domain.isActive() }) else {
                return lose(BackendError(.lost, "the domain has ended", range: error.range, cause: error.cause))
            }
        } catch {
            if error.code == .noDomain { return lose(BackendError(.lost, "the domain is gone", cause: error)) }
            if !domain.isConnected {
                executor.submit { [weak self] in self?.reconnect(after: .zero) }
                return BackendError(
                    .disconnected,
                    "the connection to libvirt is gone; it is being made again",
                    cause: error
                )
            }
        }
        let code = error.code == .lost ? BackendError.Code.system : error.code
        return BackendError(code, error.message, range: error.range, cause: error.cause)
    }

    /// Notes that the guest is gone, and tells the observer.
    func lose(_ error: BackendError) -> BackendError {
        let observer: (any BackendObserver)? = ledger.withLock { ledger in
            guard ledger.lost == nil else { return nil }
            ledger.lost = error
            ledger.waiting = [:]
            return ledger.observer
        }
        // That a domain has ended may be seen before libvirt tells of it, and that is what a sequence of events ends with.
        executor.submit(at: executor.now.advanced(by: patience)) { [listeners] in listeners.end() }
        if let observer { executor.submit { observer.backendLost(error) } }
        return error
    }
}

#endif
