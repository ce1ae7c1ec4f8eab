/// The receiver of a back end's events.
public protocol BackendObserver: AnyObject, Sendable {
    /// Takes one event. Called on the back end's executor, never under a lock of the back end.
    func receive(_ event: BackendEvent)
}
