public import Custody

/// How long who of the host has held up pending hand-overs: kept by whoever observes a controller.
///
/// - Complexity: each call is linear in the number of references that are waited for.
public struct HolderTimes: Sendable {
    /// A time for which somebody held up a hand-over.
    public struct Wait: Sendable, Hashable {
        /// Who.
        public let holder: Holder
        /// The hand-over.
        public let ticket: TicketID
        /// For how long.
        public let duration: Duration
    }

    private struct Held {
        let ticket: TicketID
        let holder: Holder
        let range: PageRange
        let since: Timestamp
    }

    private var held: [Held] = []

    /// Nobody is waited for.
    public init() {}

    /// A hand-over has been registered, and waits for these since then. One that is known already is left as it is.
    public mutating func begin(_ ticket: TicketID, waitingFor blockers: [Blocker], since: Timestamp) {
        guard !held.contains(where: { $0.ticket == ticket }) else { return }
        held += blockers.map { Held(ticket: ticket, holder: $0.holder, range: $0.range, since: since) }
    }

    /// A holder has given pages up: whom that held up is not held up by it any more.
    public mutating func release(_ range: PageRange, by holder: Holder, at time: Timestamp) -> [Wait] {
        guard !held.isEmpty else { return [] }
        return take(at: time) { $0.holder == holder && range.contains($0.range) }
    }

    /// A hand-over has ended, whoever held it up.
    public mutating func end(_ ticket: TicketID, at time: Timestamp) -> [Wait] {
        guard !held.isEmpty else { return [] }
        return take(at: time) { $0.ticket == ticket }
    }

    private mutating func take(at time: Timestamp, _ isMeant: (Held) -> Bool) -> [Wait] {
        let taken = held.filter(isMeant)
        held.removeAll(where: isMeant)
        return taken.map { Wait(holder: $0.holder, ticket: $0.ticket, duration: time.since($0.since)) }
    }
}
