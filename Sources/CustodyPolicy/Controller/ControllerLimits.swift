import Custody

/// How much a controller does for one guest: what bounds hostile requests.
public struct ControllerLimits: Sendable, Equatable {
    /// The largest number of hand-overs that the guest has pending at a time.
    public var pendingHandovers: Int
    /// The largest number of hand-overs pending at a time, whoever asked for them.
    public var pendingInTotal: Int
    /// The largest number of runs that one request of the guest changes; it is told to go on from there.
    public var runsPerGuestRequest: Int
    /// The largest number of base pages that one request of the guest covers; it is told to go on from there. A region
    /// that can come and go only as a whole (`Capabilities.HostUnit.region`) is covered whole, whatever its size:
    /// the back end moves it in one step.
    public var pagesPerGuestRequest: UInt64
    /// The time after which a hand-over that the guest asked for is given up, or `nil` for never.
    public var guestDeadline: Duration?
    /// What is to become of requests that reach beyond RAM.
    public var holes: HoleRule

    /// Limits; the defaults are 1 024 hand-overs of the guest and 65 536 in total, 512 runs, 262 144 pages (1 GiB), no
    /// deadline, and no holes.
    public init(
        pendingHandovers: Int = 1024,
        pendingInTotal: Int = 65536,
        runsPerGuestRequest: Int = 512,
        pagesPerGuestRequest: UInt64 = 1 << 18,
        guestDeadline: Duration? = nil,
        holes: HoleRule = .reject
    ) {
        self.pendingHandovers = pendingHandovers
        self.pendingInTotal = pendingInTotal
        self.runsPerGuestRequest = runsPerGuestRequest
        self.pagesPerGuestRequest = pagesPerGuestRequest
        self.guestDeadline = guestDeadline
        self.holes = holes
    }
}
