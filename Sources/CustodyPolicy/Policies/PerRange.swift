public import Custody

/// A policy for some pages: it is asked about the part of a request that lies in them.
public struct PerRange: Policy {
    /// The pages.
    public let range: PageRange
    private let policy: any Policy

    /// Has `policy` decide about the pages of `range`, and about no others.
    public init(_ range: PageRange, _ policy: any Policy) {
        self.range = range
        self.policy = policy
    }

    /// What the policy says of the pages in the range. Pages before them may go on, also where those are clamped.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard let own = request.range.intersection(range) else { return .allow }
        var part = request
        part.range = own
        let decision = policy.decide(part, in: self.view(view), remembering: &memory)
        guard case .clampTo(let clamp) = decision.verdict, let reason = decision.reason else { return decision }
        if clamp.contains(own) { return .allow(decision.terms, reason) }
        let allowed = request.range.prefix(
            before: PageNumber(clamp.start <= own.start ? clamp.end : own.start.rawValue)
        )
        return .clamp(to: allowed ?? clamp, reason, terms: decision.terms)
    }

    /// Has the policy charge what it counts of the pages in the range.
    public func charge(_ request: ConversionRequest, in view: PolicyView, remembering memory: inout PolicyMemory) {
        guard let own = request.range.intersection(range) else { return }
        var part = request
        part.range = own
        policy.charge(part, in: self.view(view), remembering: &memory)
    }

    /// What the policy sees: nothing was asked for beyond the range.
    private func view(_ view: PolicyView) -> PolicyView {
        var view = view
        view.asked = view.asked?.intersection(range)
        return view
    }
}
