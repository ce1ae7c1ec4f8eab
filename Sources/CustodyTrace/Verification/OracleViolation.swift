/// Why an event cannot follow those before it: a rule that it breaks.
public struct OracleViolation: Error, Sendable, Hashable {
    /// The rule.
    public let rule: OracleRule
    /// What is wrong: one sentence.
    public let reason: String
    /// The event; `nil` where it is about what there is after all of them.
    public internal(set) var event: TraceEvent?

    /// Whether it is about what other events say of pages, leases and hand-overs, rather than about the event itself and
    /// its request: where events are missing, one of those may be the reason.
    let isOfState: Bool

    init(_ rule: OracleRule, _ reason: String, isOfState: Bool = false) {
        self.rule = rule
        self.reason = reason
        self.isOfState = isOfState
    }

    /// The error of a line that this is about.
    func at(_ entry: Trace.Entry) -> TraceError { entry.error("\(entry.record.event): \(finding)") }

    private var finding: String {
        rule.promise.map { "promise \($0.rawValue) is broken (\(rule.rawValue)): \(reason)" } ?? reason
    }
}

extension OracleViolation: CustomStringConvertible {
    /// The promise by its number, the rule, what is wrong, and the event.
    public var description: String { finding + (event.map { ", at: \($0)" } ?? "") }
}
