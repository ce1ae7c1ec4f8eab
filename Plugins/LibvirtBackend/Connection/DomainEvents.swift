#if Libvirt

/// What happens to a domain, as it happens; for one task to iterate.
///
/// At most so many events wait to be taken as was asked for; then ``DomainEvent/Kind/reconcile`` takes the place of all of
/// them. The sequence ends when nothing can happen any more, or its task is cancelled; nothing is kept for it when the value
/// and its iterators are gone.
public struct DomainEvents: AsyncSequence, Sendable {
    /// What happened.
    public typealias Element = DomainEvent

    private let buffer: EventBuffer
    private let registration: any Sendable & AnyObject

    /// The events that come into a buffer as long as a registration is there.
    init(_ buffer: EventBuffer, _ registration: any Sendable & AnyObject) {
        self.buffer = buffer
        self.registration = registration
    }

    /// Listens to all domains of a connection.
    package init(of connection: borrowing Connection, capacity: Int) throws(VirError) {
        let buffer = EventBuffer(capacity: capacity)
        self.init(buffer, try EventSubscription(to: connection, into: buffer))
    }

    /// Begins to take.
    public func makeAsyncIterator() -> Iterator { Iterator(buffer: buffer, registration: registration) }

    /// Takes the events one by one.
    public struct Iterator: AsyncIteratorProtocol {
        let buffer: EventBuffer
        let registration: any Sendable & AnyObject

        /// The next event, when it is there; `nil` at the end.
        public mutating func next() async -> DomainEvent? { await buffer.next() }
    }
}

#endif
