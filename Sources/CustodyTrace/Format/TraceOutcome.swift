public import Custody
public import CustodyPolicy

/// What became of a request, as a trace has it.
public struct TraceOutcome: Sendable, Hashable, Codable {
    /// Where the request stands.
    public enum Status: String, Sendable, Hashable, CaseIterable, Codable {
        /// All pages are in the ownership asked for.
        case completed
        /// Leases must be given up first.
        case blocked
        /// The hand-over completes by itself.
        case pending
        /// Later.
        case deferred
        /// Something stopped it after a part.
        case stopped
    }

    /// Where the request stands.
    public let status: Status
    /// The pages asked for.
    public let range: PageRange
    /// The first page that is not in the ownership asked for.
    public let stoppedAt: PageNumber?
    /// The number of base pages that the request changed.
    public let changedPages: UInt64
    /// What became of the bytes of the pages that changed.
    public let contents: ContentsEffect
    /// Who is in the way, where somebody is.
    public internal(set) var blockers: [Blocker]?
    /// The hand-over, where one is pending.
    public internal(set) var ticket: TraceTicket?
    /// The time before which asking again is in vain, where one is known.
    public let until: Timestamp?
    /// Why it was put off, where it was.
    public let reason: String?
    /// What stopped it, where something did.
    public let error: TraceRefusal?

    /// The outcome as a value that can be written.
    public init(_ outcome: ConversionOutcome) {
        range = outcome.range
        stoppedAt = outcome.stoppedAt
        changedPages = outcome.changedPages
        contents = outcome.contents
        var blockers: [Blocker]?
        var ticket: TraceTicket?
        var until: Timestamp?
        var reason: String?
        var error: TraceRefusal?
        switch outcome.status {
        case .completed: status = .completed
        case .blocked(let holders): (status, blockers) = (.blocked, holders)
        case .pending(let pending, let holders): (status, ticket, blockers) = (.pending, TraceTicket(pending), holders)
        case .deferred(let time, let why): (status, until, reason) = (.deferred, time, why)
        case .stopped(let refusal): (status, error) = (.stopped, TraceRefusal(refusal))
        }
        (self.blockers, self.ticket, self.until, self.reason, self.error) = (blockers, ticket, until, reason, error)
    }
}

extension TraceOutcome: CustomStringConvertible {
    /// The outcome in one line.
    public var description: String {
        var text = status.rawValue
        if let ticket { text += " as \(ticket.id)" }
        if let stoppedAt { text += ", from \(stoppedAt.address) on" }
        if changedPages > 0 { text += ", \(changedPages) pages changed" }
        if let blockers, !blockers.isEmpty { text += ", held by \(blockers.map { "\($0)" }.joined(separator: ", "))" }
        if let until { text += ", until \(until.rawValue) ns" }
        if let reason { text += ": \(reason)" }
        if let error { text += ": \(error)" }
        return text
    }
}
