public import Custody
public import CustodyPolicy
public import CustodyTrace

/// What came of a scenario.
public struct ScenarioReport: Sendable {
    /// The scenario.
    public let scenario: Scenario
    /// What came of each step, up to the first one that could not be done at all.
    public let steps: [StepReport]
    /// What the controller did after the last step.
    public let lateEvents: [ControllerEvent]
    /// Who owned what in the end.
    public let ownership: [PageRun<Ownership>]
    /// The hand-overs that nobody holds up, and that have not ended all the same.
    public let forgotten: [TicketID]
    /// The rule that was broken after the last step, where one was.
    public let broken: OracleViolation?

    /// Whether every step was done and was as expected, no rule is broken, and no hand-over is forgotten.
    public var isAsExpected: Bool {
        steps.count == scenario.steps.count && forgotten.isEmpty && broken == nil
            && steps.allSatisfy { $0.failure == nil }
    }

    /// What the controller did, in the order in which it took effect.
    public var events: [ControllerEvent] { steps.flatMap(\.events) + lateEvents }
}
