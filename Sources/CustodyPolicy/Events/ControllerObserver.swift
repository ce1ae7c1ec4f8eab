/// Whoever wants to see every step of a controller: a log, a trace, a timeline, a metrics exporter.
public protocol ControllerObserver: AnyObject, Sendable {
    /// Takes one event, on the thread on which it happened, once it has taken effect: ``ControllerEvent/sequence`` says in
    /// which order events did. No lock is held. It should be quick: the conversion goes on when it returns.
    func observe(_ event: ControllerEvent)

    /// Whether it is told of each copy in and out as of a lease; asked once. For an observer that wants to be, each copy
    /// takes the controller's lock.
    var observesAccesses: Bool { get }
}

extension ControllerObserver {
    /// Of every copy.
    public var observesAccesses: Bool { true }
}
