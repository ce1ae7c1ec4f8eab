/// Whoever wants to see every step of a controller: a log, a trace, a timeline, a metrics exporter.
public protocol ControllerObserver: AnyObject, Sendable {
    /// Takes one event, once it has taken effect: ``ControllerEvent/sequence`` says in which order events did. No lock is
    /// held.
    ///
    /// It is called on the thread on which the event happened, and should be quick: the conversion goes on when it returns.
    /// Of the end of a lease, and of a hand-over whose deadline has passed, it is told on a thread of the executor, so that
    /// nobody waits for it; `CompletionExecutor.drain()` returns when it has been told.
    ///
    /// It may ask the controller, and take and release leases. On the thread on which the event happened a change of
    /// ownership is refused, with ``ConversionError/Code/reentrant``.
    func observe(_ event: ControllerEvent)

    /// Whether it is told of each copy in and out as of a lease; asked once. For an observer that wants to be, each copy
    /// takes the controller's lock.
    var observesAccesses: Bool { get }
}

extension ControllerObserver {
    /// Of every copy.
    public var observesAccesses: Bool { true }
}
