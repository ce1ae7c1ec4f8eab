public import Custody

/// One step of a scenario, and what is expected of it.
public struct ScenarioStep: Sendable {
    /// What is done.
    public let action: ScenarioAction
    /// Where the step stands.
    public let location: SourceLocation

    /// A step.
    public init(_ action: ScenarioAction, at location: SourceLocation) {
        self.action = action
        self.location = location
    }
}
