public import Custody
public import CustodyPolicy

/// What came of a scenario.
public struct ScenarioReport: Sendable {
    /// The scenario.
    public let scenario: Scenario
    /// What came of each step, up to the first one that could not be done at all.
    public let steps: [StepReport]
    /// Who owned what in the end.
    public let ownership: [PageRun<Ownership>]

    /// Whether every step was done and was as expected.
    public var isAsExpected: Bool { steps.count == scenario.steps.count && steps.allSatisfy { $0.failure == nil } }

    /// What the controller did, in its order.
    public var events: [ControllerEvent] { steps.flatMap(\.events) }
}
