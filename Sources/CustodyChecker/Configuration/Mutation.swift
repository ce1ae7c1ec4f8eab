public import CustodyProtocols

/// A defect planted on purpose, to see that a property notices: one step whose effect on the world is lost.
///
/// The actor goes on as if it had done it. A lock that is "taken" this way excludes nobody and never waits.
public struct Mutation: Hashable, Sendable {
    /// The step whose effect is lost.
    public var step: Step

    /// Loses the effect of `step`.
    public init(losingEffectOf step: Step) { self.step = step }
}
