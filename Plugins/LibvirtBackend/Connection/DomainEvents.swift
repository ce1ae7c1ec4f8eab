#if Libvirt

/// What happens to domains, as it happens; for one task to iterate.
///
/// The registration ends when the value and its iterators are gone.
package struct DomainEvents: AsyncSequence, Sendable {
    package typealias Element = DomainEvent

    private let buffer: EventBuffer
    private let subscription: EventSubscription

    /// Listens to one domain, or to all of a connection.
    ///
    /// At most `capacity` events wait to be taken; then ``DomainEvent/Kind/reconcile`` takes their place.
    package init(
        of connection: borrowing Connection,
        capacity: Int = 256
    ) throws(VirError) {
        buffer = EventBuffer(capacity: capacity)
        subscription = try EventSubscription(to: connection, into: buffer)
    }

    package func makeAsyncIterator() -> Iterator { Iterator(buffer: buffer, subscription: subscription) }

    /// Takes the events one by one.
    package struct Iterator: AsyncIteratorProtocol {
        let buffer: EventBuffer
        /// Keeps the registration.
        let subscription: EventSubscription

        package mutating func next() async -> DomainEvent? { await buffer.next() }
    }
}

#endif
