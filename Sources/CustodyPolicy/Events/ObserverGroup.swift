/// Several observers of one controller: each is told of every event, in their order.
public final class ObserverGroup: ControllerObserver {
    private let observers: [any ControllerObserver]

    /// The given observers.
    public init(_ observers: [any ControllerObserver]) { self.observers = observers }

    /// Tells each of them.
    public func observe(_ event: ControllerEvent) {
        for observer in observers { observer.observe(event) }
    }
}
