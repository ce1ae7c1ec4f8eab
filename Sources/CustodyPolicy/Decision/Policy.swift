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
    ///   - request: What is asked for. Its range may be a part of a request that is carried out piece by piece; the
    ///     first time it is all of it.
    ///   - view: What there is to know about the guest's memory, and what time it is.
    ///   - memory: What the rule wants to remember, for example when the guest may ask again.
    func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision
}
