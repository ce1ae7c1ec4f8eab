/// A rule about who may have which pages.
///
/// A policy is asked once for each request that would change something, after the request has been found legal and
/// before anything happens. It should be a pure function of what it is given; it is called on the requester's thread,
/// perhaps on several at once.
public protocol Policy: Sendable {
    /// Decides about a request.
    func decide(_ request: ConversionRequest, in view: OwnershipView) -> PolicyDecision
}
