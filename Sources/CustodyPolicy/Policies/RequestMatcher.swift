public import Custody

/// Which requests a rule is about. What is not named matches everything.
public struct RequestMatcher: Sendable, Hashable {
    /// Who asks.
    public var requesters: Set<RequesterKind>?
    /// The ownership that the pages are to be in.
    public var targets: Set<Ownership>?
    /// Pages that all of the request lies in.
    public var within: PageRange?
    /// Pages that the request has some of.
    public var meeting: PageRange?

    /// A matcher; the default matches every request.
    public init(
        requesters: Set<RequesterKind>? = nil,
        targets: Set<Ownership>? = nil,
        within: PageRange? = nil,
        meeting: PageRange? = nil
    ) {
        self.requesters = requesters
        self.targets = targets
        self.within = within
        self.meeting = meeting
    }

    /// Whether a request is meant.
    public func matches(_ request: ConversionRequest) -> Bool {
        if let requesters, !requesters.contains(request.requester.kind) { return false }
        if let targets, !targets.contains(request.target) { return false }
        if let within, !within.contains(request.range) { return false }
        if let meeting, !meeting.overlaps(request.range) { return false }
        return true
    }
}
