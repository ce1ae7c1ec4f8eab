public import CustodyProtocols

/// A defect planted on purpose, to see that a property notices.
///
/// Between them the two kinds spoil every step of every protocol: there is nothing in the machine for their sake.
public enum Mutation: Hashable, Sendable {
    /// The effect of a step on the world is lost; the actor goes on as if it had done it. A lock that is "taken" this
    /// way excludes nobody and never waits.
    case losesEffect(of: Step)
    /// After a step the actor always goes on to another one, whatever it saw: a check that is ignored, or a step that is
    /// left out.
    case goesOn(from: Step, to: Step)
}
