/// What a policy says about a request.
public enum PolicyDecision: Sendable, Hashable {
    /// It may go on.
    case allow
    /// Never, for this reason.
    case deny(reason: String)
    /// Not now, for this reason; a guest is told to ask again.
    case later(reason: String)

    /// The stricter of two decisions: a denial before a delay before a permission, the first of two equals.
    public func combined(with other: PolicyDecision) -> PolicyDecision {
        other.severity > severity ? other : self
    }

    private var severity: Int {
        switch self {
        case .allow: 0
        case .later: 1
        case .deny: 2
        }
    }
}
