/// Several cases, of which the first that is meant decides alone.
///
/// A request that is carried out part by part is matched part by part as well: every part must be allowed, and so must
/// the whole.
public struct FirstOf: Policy {
    /// One case.
    public struct Case: Sendable {
        /// Which requests are meant.
        public let matcher: RequestMatcher
        /// What decides about them.
        public let policy: any Policy

        /// A case.
        public init(when matcher: RequestMatcher = RequestMatcher(), _ policy: any Policy) {
            self.matcher = matcher
            self.policy = policy
        }
    }

    private let cases: [Case]

    /// The cases, in the order in which they are looked at.
    public init(_ cases: [Case]) { self.cases = cases }

    /// The decision of the first case that matches; where none does, the request may go on. No other is asked.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        for each in cases where each.matcher.matches(request) {
            return each.policy.decide(request, in: view, remembering: &memory)
        }
        return .allow
    }

    /// Has the first case that matches charge what it counts.
    public func charge(_ request: ConversionRequest, in view: PolicyView, remembering memory: inout PolicyMemory) {
        cases.first { $0.matcher.matches(request) }?.policy.charge(request, in: view, remembering: &memory)
    }
}
