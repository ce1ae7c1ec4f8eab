import CustodyChecker

/// How a check ends, as its exit code tells.
enum CheckOutcome: Int32 {
    /// Every property holds in all that can be reached.
    case holds = 0
    /// Some property does not hold.
    case isViolated = 1
    /// A bound was reached before everything was visited, and nothing was found until then.
    case isOpen = 2

    init(_ report: Report) {
        if !report.violated.isEmpty {
            self = .isViolated
        } else {
            self = report.bound == nil ? .holds : .isOpen
        }
    }

    /// The outcome of two checks: a violation counts most, then what is open.
    func and(_ other: CheckOutcome) -> CheckOutcome {
        if self == .isViolated || other == .isViolated { return .isViolated }
        return self == .isOpen || other == .isOpen ? .isOpen : .holds
    }
}
