public import Custody

/// What holds for every request that is carried out: a deadline, a time box, a back-off.
public struct Terms: Policy {
    private let terms: PolicyTerms
    private let reason: PolicyReason

    private init(_ terms: PolicyTerms, _ reason: PolicyReason) {
        self.terms = terms
        self.reason = reason
    }

    /// Gives a hand-over up that has not completed after so long.
    public static func deadline(_ deadline: Duration) -> Terms {
        Terms(PolicyTerms(deadline: deadline), PolicyReason(rule: "deadline", "given up in time"))
    }

    /// Takes what becomes shared back after so long.
    public static func timeBox(_ duration: Duration) -> Terms {
        Terms(PolicyTerms(returnsAfter: duration), PolicyReason(rule: "time-box", "shared for a time"))
    }

    /// Asks a back end again that could not say when to, as the back-off says.
    public static func retry(_ retry: Backoff) -> Terms {
        Terms(PolicyTerms(retry: retry), PolicyReason(rule: "retry", "asked again"))
    }

    /// Allows the request, on the terms that mean something for it.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        if terms.returnsAfter != nil, request.target != .shared { return .allow }
        return .allow(terms, reason)
    }
}
