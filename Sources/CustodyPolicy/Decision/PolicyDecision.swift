public import Custody

/// What a policy says about a request.
public struct PolicyDecision: Sendable, Hashable {
    /// What is to become of the request.
    public enum Verdict: Sendable, Hashable {
        /// It may go on.
        case allow
        /// It may go on for these pages; the others are put off. A request for all pages or none is put off as a whole.
        case clampTo(PageRange)
        /// Not now; asking again before then is in vain, where a time is known. A guest is told to ask again.
        case deferUntil(Timestamp?)
        /// Never.
        case deny
    }

    /// What is to become of the request.
    public let verdict: Verdict
    /// The rule that decided. There is always one unless the request may go on as it is.
    public let reason: PolicyReason?
    /// What holds if the request is carried out.
    public let terms: PolicyTerms

    private init(_ verdict: Verdict, _ reason: PolicyReason?, _ terms: PolicyTerms) {
        self.verdict = verdict
        self.reason = reason
        self.terms = terms
    }

    /// It may go on.
    public static let allow = PolicyDecision(.allow, nil, PolicyTerms())

    /// It may go on, on these terms.
    public static func allow(_ terms: PolicyTerms, _ reason: PolicyReason) -> PolicyDecision {
        PolicyDecision(.allow, reason, terms)
    }

    /// It may go on for the pages of `range`.
    public static func clamp(
        to range: PageRange,
        _ reason: PolicyReason,
        terms: PolicyTerms = PolicyTerms()
    ) -> PolicyDecision {
        PolicyDecision(.clampTo(range), reason, terms)
    }

    /// Not now, and not before `time` where that is known.
    public static func `defer`(until time: Timestamp? = nil, _ reason: PolicyReason) -> PolicyDecision {
        PolicyDecision(.deferUntil(time), reason, PolicyTerms())
    }

    /// Never.
    public static func deny(_ reason: PolicyReason) -> PolicyDecision {
        PolicyDecision(.deny, reason, PolicyTerms())
    }

    /// What remains where both must agree: a denial before a delay before a permission, the later of two times, the pages
    /// that both permit, the tighter terms. Of equals the first one's reason is kept; the verdict does not depend on the
    /// order.
    public func combined(with other: PolicyDecision) -> PolicyDecision {
        let terms = terms.combined(with: other.terms)
        switch (verdict, other.verdict) {
        case (.deny, _): return self
        case (_, .deny): return other
        case (.deferUntil(let time), .deferUntil(let otherTime)):
            guard let otherTime else { return self }
            return time.map { $0 >= otherTime } ?? false ? self : other
        case (.deferUntil, _): return self
        case (_, .deferUntil): return other
        case (.clampTo(let range), .clampTo(let otherRange)):
            guard let both = range.intersection(otherRange) else {
                return PolicyDecision(.deferUntil(nil), other.reason, PolicyTerms())
            }
            return PolicyDecision(.clampTo(both), both == range ? reason : other.reason, terms)
        case (.clampTo, .allow): return PolicyDecision(verdict, reason, terms)
        case (.allow, .clampTo): return PolicyDecision(other.verdict, other.reason, terms)
        case (.allow, .allow): return PolicyDecision(.allow, reason ?? other.reason, terms)
        }
    }
}

extension PolicyDecision: CustomStringConvertible {
    /// The verdict and its reason in one line.
    public var description: String {
        let because = reason.map { ", \($0)" } ?? ""
        switch verdict {
        case .allow: return "allowed" + because
        case .clampTo(let range): return "clamped to \(range)" + because
        case .deferUntil(let time):
            return "later" + (time.map { ", from \($0.rawValue) ns on" } ?? "") + because
        case .deny: return "denied" + because
        }
    }
}
