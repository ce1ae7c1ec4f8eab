/// A rule about who may have which pages.
///
/// A policy is asked for each request that would change something, in the same step in which the controller claims the
/// pages: what it decided upon is what is claimed. It is a pure function of the request, the view and its memory, so that
/// a recorded history can be decided once more with the same result. It runs under the controller's lock: it takes no
/// lock and does not wait. All that it needs is in the view; what it asks the controller all the same is answered from
/// the same state, and what would change something is refused, or done when it has decided.
public protocol Policy: Sendable {
    /// Decides about a request.
    ///
    /// - Parameters:
    ///   - request: What is asked for. Of a request for as much as can be had it is first the part that the request's
    ///     limits on runs and pages let through, and then each piece as it is carried out: a policy is never asked about
    ///     more than is going to be done. ``PolicyView/asked`` has the whole.
    ///   - view: What there is to know about the guest's memory, and what time it is.
    ///   - memory: What the rule wants to remember, for example when the guest may ask again.
    func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision

    /// Notes that pages begin to change hands, for a rule that counts them: called once for what has been decided upon
    /// and is now claimed, whichever rules had a say in how much that is. What is put off, denied or blocked is not
    /// charged. A policy that asks others has them charge, too.
    ///
    /// - Parameters:
    ///   - request: What was asked for; its range are the pages claimed.
    ///   - view: The guest's memory before the change.
    ///   - memory: What the rule remembers.
    func charge(_ request: ConversionRequest, in view: PolicyView, remembering memory: inout PolicyMemory)
}

extension Policy {
    /// Does nothing: the rule counts no changes.
    public func charge(_ request: ConversionRequest, in view: PolicyView, remembering memory: inout PolicyMemory) {}
}
