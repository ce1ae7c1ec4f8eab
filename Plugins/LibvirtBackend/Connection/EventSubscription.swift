#if Libvirt

/// One listener to what happens to the domains of a connection: it listens until it is gone.
package final class EventSubscription: Sendable {
    private let connection: Connection
    private let buffer: EventBuffer

    /// Listens to all domains of a connection, and to the connection itself.
    package init(to connection: borrowing Connection, into buffer: EventBuffer) throws(VirError) {
        let shared = connection.share()
        try shared.hub.add(buffer, of: shared)
        self.connection = shared
        self.buffer = buffer
    }

    deinit { connection.hub.remove(buffer, of: connection) }
}

#endif
