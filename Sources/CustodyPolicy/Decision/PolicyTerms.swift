public import Custody

/// What holds for a request that is carried out. Where several rules set terms, the tightest counts.
public struct PolicyTerms: Sendable, Hashable, Codable {
    /// The time after which a hand-over that the request begins is given up, at most.
    public var deadline: Duration?
    /// The time after which pages that the request makes shared become private again by themselves.
    public var returnsAfter: Duration?
    /// How often, and after what time, a back end is asked again that could not say when to.
    public var retry: Backoff?

    /// No terms unless named.
    public init(deadline: Duration? = nil, returnsAfter: Duration? = nil, retry: Backoff? = nil) {
        self.deadline = deadline
        self.returnsAfter = returnsAfter
        self.retry = retry
    }

    /// The terms that keep both.
    public func combined(with other: PolicyTerms) -> PolicyTerms {
        PolicyTerms(
            deadline: PolicyTerms.least(deadline, other.deadline),
            returnsAfter: PolicyTerms.least(returnsAfter, other.returnsAfter),
            retry: PolicyTerms.least(retry, other.retry)
        )
    }

    static func least<T: Comparable>(_ one: T?, _ other: T?) -> T? {
        guard let one, let other else { return one ?? other }
        return min(one, other)
    }
}
