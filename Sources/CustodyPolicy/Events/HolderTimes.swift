public import Custody

/// How long who of the host has held up pending hand-overs: kept by whoever observes a controller.
///
/// - Complexity: each call takes O((*k* + 1) log *n*), expected, for *k* of *n* references that it begins or ends to wait for.
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

    /// The pages that somebody holds up, with the number of each reference.
    private struct References {
        var tree = PageRangeTree()
        var count = 0
    }

    /// Each reference that is waited for, by a number of its own.
    private var held: [UInt64: Held] = [:]
    private var nextNumber: UInt64 = 0
    private var tickets: [TicketID: [UInt64]] = [:]
    private var holders: [Holder: References] = [:]

    /// Nobody is waited for.
    public init() {}

    /// A hand-over has been registered, and waits for these since then. One that is known already is left as it is.
    public mutating func begin(_ ticket: TicketID, waitingFor blockers: [Blocker], since: Timestamp) {
        guard !blockers.isEmpty, tickets[ticket] == nil else { return }
        for blocker in blockers {
            nextNumber += 1
            held[nextNumber] = Held(ticket: ticket, holder: blocker.holder, range: blocker.range, since: since)
            tickets[ticket, default: []].append(nextNumber)
            holders[blocker.holder, default: References()].tree.insert(blocker.range, nextNumber)
            holders[blocker.holder]?.count += 1
        }
    }

    /// A holder has given pages up: whom that held up is not held up by it any more.
    public mutating func release(_ range: PageRange, by holder: Holder, at time: Timestamp) -> [Wait] {
        guard let tree = holders[holder]?.tree else { return [] }
        var met: [UInt64] = []
        tree.forEach(meeting: range) { met.append($0) }
        let ended = met.filter { held[$0].map { range.contains($0.range) } ?? false }.sorted()
        return ended.compactMap { number in
            guard let wait = take(number, at: time) else { return nil }
            tickets[wait.ticket]?.removeAll { $0 == number }
            if tickets[wait.ticket]?.isEmpty == true { tickets[wait.ticket] = nil }
            return wait
        }
    }

    /// A hand-over has ended, whoever held it up.
    public mutating func end(_ ticket: TicketID, at time: Timestamp) -> [Wait] {
        (tickets.removeValue(forKey: ticket) ?? []).compactMap { take($0, at: time) }
    }

    /// Ends the wait for a reference.
    private mutating func take(_ number: UInt64, at time: Timestamp) -> Wait? {
        guard let reference = held.removeValue(forKey: number) else { return nil }
        holders[reference.holder]?.tree.remove(reference.range, number)
        holders[reference.holder]?.count -= 1
        if holders[reference.holder]?.count == 0 { holders[reference.holder] = nil }
        return Wait(holder: reference.holder, ticket: reference.ticket, duration: time.since(reference.since))
    }
}
