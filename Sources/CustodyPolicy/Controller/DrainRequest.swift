public import Custody

/// What the holder of a lease is asked for: to let go of it, because the pages are wanted.
///
/// While a holder is being asked for a lease it is not asked for the same lease again; what is asked for meanwhile comes
/// as one request after that. The holder of another lease does not wait for it.
public struct DrainRequest: Sendable {
    /// The lease.
    public let lease: LeaseID
    /// The pages of the lease that are wanted; of several requests in one, from the first page to the last.
    public let range: PageRange
    /// The ownership that they are to be in; of several requests in one, the newest one's.
    public let target: Ownership
    /// The hand-over that waits for them, of several the newest; `nil` where nothing is registered and the requester
    /// will ask again.
    public let ticket: TicketID?
}
