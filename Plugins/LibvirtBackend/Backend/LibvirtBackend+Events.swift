#if Libvirt
import Custody
import GuestChannel

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
            case .deviceRemoved(let alias): if let number = heard(of: alias) { released(number) }
            case .deviceRemovalFailed(let alias): if let number = heard(of: alias) { refused(number) }
            case .deviceAdded(let alias): if let number = heard(of: alias) { added(number) }
            case .stopped(let stop): ended(stop)
            case .disconnected: reconnect(after: .zero)
            // A guest that has been restarted is asked again.
            case .reconcile, .rebooted: catchUp()
            case .crashed(.panicked), .crashed(.unknown): catchUp()
            default: break
            }
        }
    }

    /// Notes that something has become of a module.
    private func heard(of alias: String) -> Int? {
        guard let number = modules.firstIndex(where: { $0.alias == alias }) else { return nil }
        ledger.withLock { $0.heard += 1 }
        return number
    }

    /// The guest has a module more. Where it is none that it is given here, somebody else has given it.
    private func added(_ number: Int) {
        let isKnown = ledger.withLock { $0.isMoving(number) || $0.presence[number] == .plugged }
        if !isKnown { catchUp() }
    }

    private func ended(_ stop: DomainEvent.Stop) {
        if ledger.withLock({ $0.lost == nil }) { _ = lose(BackendError(.lost, "the domain has ended: \(stop)")) }
        // Behind the events that have come in with it.
        executor.submit { [listeners] in listeners.end() }
    }

    // MARK: What the guest has

    /// Sees what the guest has, where events may have been missed, and has whoever keeps the ownership follow: the live
    /// description is the truth.
    ///
    /// Libvirt is asked beside all other work: a daemon that does not answer holds nobody up. What it does not tell is that
    /// a guest has refused. So a guest that still has what it was asked for is asked again: one that has not answered yet is
    /// none the wiser, and one that has answers once more.
    ///
    /// - Parameter isToTell: Whether the observer is told where there is no news, too.
    func catchUp(telling isToTell: Bool = false) {
        let isFirst = ledger.withLock { ledger in
            ledger.isToTell = ledger.isToTell || isToTell
            defer { ledger.inquiry = ledger.inquiry == .none ? .underWay : .underWayAndWanted }
            return ledger.inquiry == .none
        }
        guard isFirst else { return }
        executor.submitConcurrently { [weak self] in self?.inquire() }
    }

    /// What was known when libvirt was asked, and what it has answered.
    private struct Answer: Sendable {
        /// Where each module was; `nil` for one that was being plugged in or taken back, which is neither there nor not.
        let before: [ChangeLedger.Presence?]
        let heard: UInt64
        /// Whether the guest has each of them.
        var plugged: [Bool] = []
        /// What is wrong with what it has.
        var flaws: [Int: BackendError] = [:]
    }

    /// Asks libvirt.
    private func inquire() {
        let known: Answer? = ledger.withLock { ledger in
            guard ledger.lost == nil else { return nil }
            let before = modules.indices.map { ledger.isMoving($0) ? nil : ledger.presence[$0] }
            return Answer(before: before, heard: ledger.heard)
        }
        guard var answer = known else { return endInquiry() }
        let live: XMLElement
        do throws(BackendError) { live = try domain.describe() } catch {
            if examine(error).code != .lost { catchUpLater() }
            return endInquiry()
        }
        answer.plugged = modules.map { live.memoryModule($0.alias) != nil }
        for (number, module) in modules.enumerated() where answer.plugged[number] {
            guard let before = answer.before[number], before != .released else { continue }
            answer.flaws[number] = flaw(of: module)
        }
        executor.submit { [weak self, answer] in self?.take(answer) }
    }

    private func endInquiry() {
        let isWanted = ledger.withLock { ledger in
            defer { ledger.inquiry = .none }
            return ledger.inquiry == .underWayAndWanted
        }
        if isWanted { catchUp() }
    }

    /// Goes by what libvirt has answered, on the executor.
    private func take(_ answer: Answer) {
        defer { endInquiry() }
        // What has come in since is not in it.
        guard ledger.withLock({ $0.heard == answer.heard }) else { return catchUp() }
        var isNews = false
        for (number, before) in answer.before.enumerated() {
            let presence = ledger.withLock { $0.isMoving(number) ? nil : $0.presence[number] }
            guard let presence, presence == before else { continue }
            if let flaw = answer.flaws[number] {
                // What has gone this moment is looked at again, and so is what nobody can tell.
                if flaw.code == .lost { _ = lose(flaw) } else { catchUpLater() }
                continue
            }
            switch (presence, answer.plugged[number]) {
            case (.plugged, false): released(number)
            case (.plugged, true): askAgain(number)
            case (.absent, true):
                found(number)
                isNews = true
            case (.absent, false), (.released, _): break
            }
        }
        if answer.before.contains(nil) { catchUpLater() }
        let (ownership, observer) = ledger.withLock { ledger in
            let isToTell = (isNews || ledger.isToTell) && ledger.lost == nil
            ledger.isToTell = false
            return (ledger.ownership, isToTell ? ledger.observer : nil)
        }
        observer?.backendReconnected(finding: ownership)
    }

    /// What is wrong with a module that the guest has: with code `lost` where it is not made of our file, so that nothing that
    /// is known of it is so; with another one where nobody can tell. `nil` for nothing.
    private func flaw(of module: MemoryModule) -> BackendError? {
        do throws(BackendError) {
            try module.check(domain, runBy: emulator, gate: gate)
            return nil
        } catch {
            guard error.code == .lost, module.isPlugged(into: domain) != true else { return error }
            return BackendError(.system, error.message, range: error.range, cause: error.cause)
        }
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

    /// Asks for a module whose hand-over waits for the guest's answer, which may have been missed. Where that fails it is as
    /// before.
    private func askAgain(_ number: Int) {
        guard ledger.withLock({ $0.removal(of: number) != nil }) else { return }
        askBeside(number)
    }

    private func askBeside(_ number: Int) {
        executor.submitConcurrently { [weak self] in
            if let self { try? ask(for: modules[number]) }
        }
    }

    /// The guest has a module that it was not known to have: a call that seemed to have failed, or somebody else's. Nobody
    /// wants it there.
    private func found(_ number: Int) {
        let module = modules[number]
        ledger.withLock { ledger in
            ledger.presence[number] = .plugged
            ledger.ownership.set(module.range, to: .shared)
        }
        askBeside(number)
    }

    // MARK: The connection

    /// Connects again, as often as it takes; beside all other work, because a daemon that hangs lets whoever calls wait.
    func reconnect(after delay: Duration) {
        let isFirst = ledger.withLock { ledger in
            guard ledger.lost == nil, !ledger.isReconnecting || delay > .zero else { return false }
            ledger.isReconnecting = true
            return true
        }
        guard isFirst else { return }
        executor.submitConcurrently { [domain, weak self] in
            let result = Result { () throws(VirError) in try domain.reconnect() }
            guard let self else { return }
            executor.submit { [weak self] in self?.reconnected(result, after: delay) }
        }
    }

    private func reconnected(_ result: Result<Bool, VirError>, after delay: Duration) {
        switch result {
        case .success(true):
            ledger.withLock { $0.isReconnecting = false }
            listeners.append(DomainEvent(domain: nil, .reconcile))
            catchUp(telling: true)
        case .success(false): _ = lose(BackendError(.lost, "the domain is gone"))
        case .failure:
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
            return ledger.observer
        }
        forgetWaiting()
        channel?.close()
        // That a domain has ended may be seen before libvirt tells of it, and that is what a sequence of events ends with.
        executor.submit(at: executor.now.advanced(by: patience)) { [listeners] in listeners.end() }
        if let observer { executor.submit { observer.backendLost(error) } }
        return error
    }
}

#endif
