/// How much a controller does for one guest: what bounds hostile requests.
public struct ControllerLimits: Sendable, Equatable {
    /// The largest number of hand-overs pending at a time.
    public var pendingHandovers: Int
    /// The largest number of runs that one request of the guest changes; it is told to go on from there.
    public var runsPerGuestRequest: Int
    /// The largest number of base pages that one request of the guest covers; it is told to go on from there.
    public var pagesPerGuestRequest: UInt64
    /// The time after which a hand-over that the guest asked for is given up, or `nil` for never.
    public var guestDeadline: Duration?

    /// Limits; the defaults are 1 024 hand-overs, 512 runs, 262 144 pages (1 GiB) and no deadline.
    public init(
        pendingHandovers: Int = 1024,
        runsPerGuestRequest: Int = 512,
        pagesPerGuestRequest: UInt64 = 1 << 18,
        guestDeadline: Duration? = nil
    ) {
        self.pendingHandovers = pendingHandovers
        self.runsPerGuestRequest = runsPerGuestRequest
        self.pagesPerGuestRequest = pagesPerGuestRequest
        self.guestDeadline = guestDeadline
    }
}
