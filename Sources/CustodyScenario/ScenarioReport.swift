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
    /// The hand-overs that nobody holds up, and that have not ended all the same.
    public let forgotten: [TicketID]

    /// Whether every step was done and was as expected, and no hand-over is forgotten.
    public var isAsExpected: Bool {
        steps.count == scenario.steps.count && forgotten.isEmpty && steps.allSatisfy { $0.failure == nil }
    }

    /// What the controller did, in its order.
    public var events: [ControllerEvent] { steps.flatMap(\.events) }
}
