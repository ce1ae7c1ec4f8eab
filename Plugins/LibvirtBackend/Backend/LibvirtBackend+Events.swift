#if Libvirt
import Custody

// What libvirt tells, and what it means. All of it runs on the executor.
extension LibvirtBackend {
    /// Takes what has come in.
    func takeEvents() {
        for event in domain.events.takeAll() where event.domain == nil || event.domain == domain.uuid {
            switch event.kind {
            case .deviceRemoved(let alias): if let number = number(of: alias) { released(number) }
            case .deviceRemovalFailed(let alias): if let number = number(of: alias) { refused(number) }
            case .stopped(let stop): ended(stop)
            case .disconnected: reconnect(after: .zero)
            case .reconcile: reconcile()
            default: break
            }
        }
    }

    private func number(of alias: String) -> Int? { modules.firstIndex { $0.alias == alias } }

    private func ended(_ stop: DomainEvent.Stop) {
        guard ledger.withLock({ $0.lost == nil }) else { return }
        _ = lose(BackendError(.lost, "the domain has ended: \(stop)"))
    }

    /// Sees what the guest has, where events may have been missed: the live description is the truth.
    func reconcile() {
        // First, so that a module which is plugged in by another thread meanwhile is none that has gone.
        let (before, isLost) = ledger.withLock { ($0.presence, $0.lost != nil) }
        guard !isLost else { return }
        let live: XMLElement
        do throws(BackendError) { live = try domain.describe() } catch {
            _ = examine(error)
            return
        }
        for (number, module) in modules.enumerated() {
            let isPlugged = live.memoryModule(module.alias) != nil
            let now = ledger.withLock { $0.presence[number] }
            switch now {
            case _ where now != before[number]: break
            case .plugged where !isPlugged: released(number)
            case .absent where isPlugged && isNobodys(number):
                // It came in while nobody could tell: nobody wants it there.
                ledger.withLock { $0.presence[number] = .plugged }
                module.isAsked = true
                try? domain.use { domain throws(VirError) in try domain.requestDetach(alias: module.alias) }
            default: break
            }
        }
    }

    private func isNobodys(_ number: Int) -> Bool {
        ledger.withLock { ledger in !ledger.plans.values.contains { $0.module == number } }
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
            reconcile()
            let (ownership, observer) = ledger.withLock { ($0.ownership, $0.observer) }
            observer?.backendReconnected(finding: ownership)
        } catch {
            let next = min(max(delay * 2, .milliseconds(20)), .seconds(1))
            executor.submit(at: executor.now.advanced(by: next)) { [weak self] in self?.reconnect(after: next) }
        }
    }

    // MARK: Errors

    /// Finds out what an error of libvirt means for the guest: it is there, it is gone, or nobody can tell at the moment.
    func examine(_ error: BackendError) -> BackendError {
        guard error.cause is VirError else { return error }
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
        if let observer { executor.submit { observer.backendLost(error) } }
        return error
    }
}

#endif
