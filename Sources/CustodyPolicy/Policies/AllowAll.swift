/// The policy that lets every legal request through.
public struct AllowAll: Policy {
    /// The policy.
    public init() {}

    /// Allows the request.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision { .allow }
}
