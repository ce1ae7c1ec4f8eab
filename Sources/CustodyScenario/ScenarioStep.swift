import Custody
public import CustodyOptions

/// One step of a scenario, and what is expected of it.
public struct ScenarioStep: Sendable {
    /// What is done.
    public let action: ScenarioAction
    /// The rule that is expected to decide last about the step's request.
    public let rule: String?
    /// Where the step stands.
    public let location: SourceLocation

    /// A step.
    public init(_ action: ScenarioAction, rule: String? = nil, at location: SourceLocation) {
        self.action = action
        self.rule = rule
        self.location = location
    }
}
