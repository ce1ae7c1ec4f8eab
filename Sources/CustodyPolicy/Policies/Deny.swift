/// The policy that lets nothing through: the last case of a ``FirstOf`` that is to be closed.
public struct Deny: Policy {
    private let reason: PolicyReason

    /// Denies everything, for this reason.
    public init(_ text: String) { reason = PolicyReason(rule: "deny", text) }

    /// Denies the request.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision { .deny(reason) }
}
