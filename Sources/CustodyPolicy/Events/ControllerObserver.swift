/// Whoever wants to see every step of a controller: a log, a trace, a timeline, a metrics exporter.
public protocol ControllerObserver: AnyObject, Sendable {
    /// Takes one event, on the thread on which it happened and before the step after it. No lock is held. It should be
    /// quick: the conversion goes on when it returns.
    func observe(_ event: ControllerEvent)
}
