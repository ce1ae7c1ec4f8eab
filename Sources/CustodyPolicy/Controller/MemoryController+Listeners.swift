import Custody

// Listeners.
extension MemoryController {
    /// Has a listener follow what the host may touch, from what it may touch now on. It returns when the listener knows
    /// that.
    ///
    /// - Throws: ``ListenerVeto`` of a run that it refuses; it has been told that it has none, and is not a listener.
    /// - Complexity: O(*n*) in the number of runs.
    @discardableResult
    public func add(_ listener: any OwnershipListener) throws(ListenerVeto) -> ListenerID {
        let port = state.withLock { state in
            state.lastListener = ListenerID(rawValue: state.lastListener.rawValue + 1)
            var granted = PageRunMap(bounds: layout.bounds, state: false)
            for region in layout.regions {
                for run in state.ownership.runs(in: region) where run.state.allows(.host) {
                    granted.set(run.range, to: true)
                }
            }
            // What has not begun yet is going to be told as it goes.
            for claim in state.claims.all where claim.lastListener == nil {
                claim.changes.forEach { granted.set($0.range, to: $0.from.allows(.host)) }
            }
            let port = ListenerPort(state.lastListener, listener, granted: granted)
            state.listeners.append(port)
            return port
        }
        do {
            try port.open(in: layout)
        } catch {
            remove(port.id)
            emit(.vetoed(listener.name, error))
            throw error
        }
        return port.id
    }

    /// Ends the calls of a listener, as it is: what it has, it still has.
    public func remove(_ id: ListenerID) {
        let port = state.withLock { state in
            let index = state.listeners.firstIndex { $0.id == id }
            return index.map { state.listeners.remove(at: $0) }
        }
        port?.close()
    }
}
