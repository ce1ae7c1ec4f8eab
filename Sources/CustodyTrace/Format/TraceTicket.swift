public import Custody

/// A pending hand-over as a trace has it.
public struct TraceTicket: Sendable, Hashable, Codable {
    /// Its number.
    public let id: TicketID
    /// The pages asked for.
    public let range: PageRange
    /// The ownership that they are to be in.
    public let target: Ownership
    /// Since when they are in transit.
    public internal(set) var since: Timestamp
    /// When it is given up, where that was asked for.
    public internal(set) var deadline: Timestamp?

    /// The ticket as a value that can be written.
    public init(_ ticket: Ticket) {
        id = ticket.id
        range = ticket.range
        target = ticket.target
        since = ticket.since
        deadline = ticket.deadline
    }
}

extension TraceTicket: CustomStringConvertible {
    /// The number, the pages and where they go.
    public var description: String { "\(id) of \(range) to \(target)" }
}
