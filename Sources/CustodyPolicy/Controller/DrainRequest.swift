public import Custody

/// What the holder of a lease is asked for: to let go of it, because the pages are wanted.
public struct DrainRequest: Sendable {
    /// The lease.
    public let lease: LeaseID
    /// The pages of the lease that are wanted.
    public let range: PageRange
    /// The ownership that they are to be in.
    public let target: Ownership
    /// The hand-over that waits for them; `nil` where nothing is registered and the requester will ask again.
    public let ticket: TicketID?
}
