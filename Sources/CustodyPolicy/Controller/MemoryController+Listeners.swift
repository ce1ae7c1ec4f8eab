import Custody

// Listeners.
extension MemoryController {
    /// Has a listener follow what the host may touch, from what it may touch now on. It returns when the listener knows
    /// that.
    ///
    /// Until then, conversions wait that the listener has to be told of; others go on.
    ///
    /// - Throws: ``ListenerVeto`` of a run that it refuses; it has been told that it has none, and is not a listener. A
    ///   policy, a listener or an observer of this controller that adds one is answered with a veto as well.
    /// - Complexity: O(*n* log *n*) in the number of runs. Under the lock O(*c* log *c*) for *c* changes under way,
    ///   whatever *n* is.
    @discardableResult
    public func add(_ listener: any OwnershipListener) throws(ListenerVeto) -> ListenerID {
        if let callee { throw ListenerVeto("a \(callee) adds it while it is called") }
        let (port, ownership, waiting) = state.withLock { state in
            state.sweepListeners()
            state.lastListener = ListenerID(rawValue: state.lastListener.rawValue + 1)
            let port = ListenerPort(state.lastListener, listener, of: ObjectIdentifier(self), bounds: layout.bounds)
            state.listeners.append(port)
            // What has not begun yet is going to be told as it goes.
            let waiting = state.claims.all.filter { $0.lastListener == nil }.map(\.changes)
            return (port, state.ownership, waiting)
        }
        var granted = PageRunMap(bounds: layout.bounds, state: false)
        for region in layout.regions {
            for run in ownership.runs(in: region) where run.state.allows(.host) { granted.set(run.range, to: true) }
        }
        for changes in waiting { changes.forEach { granted.set($0.range, to: $0.from.allows(.host)) } }
        do {
            try port.open(with: granted, in: layout)
        } catch {
            remove(port.id)
            emit(.vetoed(listener.name, error))
            throw error
        }
        return port.id
    }

    /// Ends the calls of a listener, as it is: what it has, it still has, and of changes that it has prepared for it is not
    /// told the end.
    ///
    /// It returns when no call of the listener is under way or to come; so it waits for a call that another thread is in.
    /// A policy, a listener or an observer of this controller does not wait and is told so.
    @discardableResult
    public func remove(_ id: ListenerID) -> ListenerRemoval {
        let callee = callee
        if callee == .policy {
            // It has the lock.
            executor.submit { [weak self] in _ = self?.remove(id) }
            return .pending
        }
        // It stays in the list while a call is under way: whoever removes it once more waits as well.
        let port = state.withLock { state in state.listeners.first { $0.id == id } }
        guard let port else { return .complete }
        let isQuiet = port.close(waiting: callee == nil)
        state.withLock { $0.sweepListeners() }
        return isQuiet ? .complete : .pending
    }
}

extension ControllerState {
    /// Forgets listeners that are told nothing any more.
    ///
    /// - Complexity: O(*n*) in the number of listeners.
    mutating func sweepListeners() {
        if listeners.contains(where: \.isOver) { listeners.removeAll(where: \.isOver) }
    }
}
