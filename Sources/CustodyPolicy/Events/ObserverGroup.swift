/// Several observers of one controller: each is told of every event, in their order.
public final class ObserverGroup: ControllerObserver {
    private let observers: [any ControllerObserver]

    /// The given observers.
    public init(_ observers: [any ControllerObserver]) { self.observers = observers }

    /// Whether one of them wants to be told of copies. The others are told, too.
    public var observesAccesses: Bool { observers.contains { $0.observesAccesses } }

    /// Tells each of them.
    public func observe(_ event: ControllerEvent) {
        for observer in observers { observer.observe(event) }
    }
}
