#if Libvirt
import Custody

/// Waits for a guest to do what it was asked to: looks, and looks again when libvirt says that something happened to the
/// domain, or when a while has passed. Events alone would not do: QEMU holds some back, and a connection can lose them.
final class DomainWatch: Sendable {
    private let domain: String
    private let buffer: EventBuffer
    private let subscription: EventSubscription
    private let news: Monitor<Bool>

    /// Begins to listen, so that nothing that happens from now on is missed.
    init(_ domain: borrowing Domain, on connection: borrowing Connection) throws(BackendError) {
        let news = Monitor(false)
        self.domain = domain.uuid
        self.news = news
        buffer = EventBuffer(capacity: 64) { news.update { $0 = true } }
        do throws(VirError) { subscription = try EventSubscription(to: connection, into: buffer) } catch {
            throw error.asBackendError("libvirt does not tell what happens to the domain")
        }
    }

    /// How long a pause between two looks is at first, and at most.
    private static let pauses = (first: Duration.milliseconds(10), last: Duration.milliseconds(500))

    /// Calls `look` with what has happened to the domain since the last time, until it returns a value.
    ///
    /// - Parameters:
    ///   - patience: For how long at most.
    ///   - look: Looks at the state; returns `nil` where it is not yet as wanted.
    /// - Returns: `nil` where the patience is over.
    func wait<Value>(
        for patience: Duration,
        _ look: ([DomainEvent.Kind]) throws(BackendError) -> Value?
    ) throws(BackendError) -> Value? {
        let deadline = ContinuousClock.now + patience
        var pause = DomainWatch.pauses.first
        while true {
            news.update { $0 = false }
            let events = buffer.takeAll().filter { $0.domain == domain || $0.domain == nil }
            if let value = try look(events.map(\.kind)) { return value }
            let left = deadline - ContinuousClock.now
            guard left > .zero else { return nil }
            let isNews: Bool? = news.wait(for: min(pause, left)) { $0 ? true : nil }
            pause = isNews == nil ? min(pause * 2, DomainWatch.pauses.last) : DomainWatch.pauses.first
        }
    }
}

#endif
