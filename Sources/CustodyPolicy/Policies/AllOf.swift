/// Several policies that must all agree: the strictest decision counts, whatever their order.
public struct AllOf: Policy {
    private let policies: [any Policy]

    /// The policies; none of them is the policy that allows everything.
    public init(_ policies: [any Policy]) { self.policies = policies }

    /// The strictest decision of all. Every policy is asked, so that each remembers what it has to.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        var decision = PolicyDecision.allow
        for policy in policies {
            decision = decision.combined(with: policy.decide(request, in: view, remembering: &memory))
        }
        return decision
    }

    /// Has every policy charge what it counts.
    public func charge(_ request: ConversionRequest, in view: PolicyView, remembering memory: inout PolicyMemory) {
        for policy in policies { policy.charge(request, in: view, remembering: &memory) }
    }
}
