public import Custody

/// What became of a request. A request that failed throws instead, and nothing has changed then.
public struct ConversionOutcome: Sendable {
    /// Where the request stands.
    public enum Status: Sendable {
        /// All pages are in the ownership asked for.
        case completed
        /// Leases must be given up first. **Nothing is registered**: ask again then.
        case blocked(by: [Blocker])
        /// Registered: the hand-over completes by itself.
        case pending(Ticket, blockers: [Blocker])
        /// The policy wants it later, or the work allowed for one request is used up. Nothing is registered. Asking
        /// again before `until` is in vain, where a time is known.
        case deferred(until: Timestamp?, reason: String)
        /// The pages before ``ConversionOutcome/stoppedAt`` are done; this stopped the rest. Only where a prefix was
        /// asked for.
        case stopped(by: ConversionError)
    }

    /// Where the request stands.
    public let status: Status
    /// The pages asked for.
    public let range: PageRange
    /// The first page that is not in the ownership asked for, or `nil` where all are. Everything before it is.
    public let stoppedAt: PageNumber?
    /// The number of pages that this request changed.
    public let changedPages: UInt64
    /// What became of the bytes of the pages that changed.
    public let contents: ContentsEffect

    /// The leading pages that are in the ownership asked for, or `nil` where the first one is not.
    public var completedPrefix: PageRange? { stoppedAt.map { range.prefix(before: $0) } ?? range }
}
