/// Several policies that must all agree: the strictest decision counts, whatever their order.
public struct AllOf: Policy {
    private let policies: [any Policy]

    /// The policies; none of them is the policy that allows everything.
    public init(_ policies: [any Policy]) { self.policies = policies }

    /// The strictest decision of all.
    public func decide(_ request: ConversionRequest, in view: OwnershipView) -> PolicyDecision {
        policies.reduce(.allow) { $0.combined(with: $1.decide(request, in: view)) }
    }
}
