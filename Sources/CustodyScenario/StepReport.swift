public import Custody
public import CustodyPolicy
public import CustodyTrace

/// What came of one step.
public struct StepReport: Sendable {
    /// The step.
    public let step: ScenarioStep
    /// Who did it.
    public let actor: String
    /// What was done, in a few words.
    public let deed: String
    /// The pages that it was about.
    public let range: PageRange?
    /// The ownership before and after, where the step is about one.
    public let change: String?
    /// What came of it.
    public let outcome: String
    /// Who stood in the way.
    public let heldBy: [Blocker]
    /// When it began.
    public let began: Timestamp
    /// When it was over, with everything that followed from it.
    public let ended: Timestamp
    /// Why it is not what was expected, or `nil` where it is.
    public let failure: String?
    /// The rule that was broken, where one was: a failure whatever was expected.
    public let broken: OracleViolation?
    /// What the controller did meanwhile.
    public let events: [ControllerEvent]
}
