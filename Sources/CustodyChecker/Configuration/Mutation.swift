public import CustodyProtocols

/// A defect planted on purpose, to see that a property notices.
///
/// Between them the kinds spoil every step of every protocol: there is nothing in the machine for their sake.
public enum Mutation: Hashable, Sendable {
    /// The effect of a step on the world is lost; the actor goes on as if it had done it. A lock that is "taken" this
    /// way excludes nobody and never waits.
    case losesEffect(of: Step)
    /// After a step the actor always goes on to another one, whatever it saw or has to wait for: a check that is ignored, or a step that is
    /// left out.
    case goesOn(from: Step, to: Step)
    /// After a step the count of references is wrong by so many.
    case miscounts(after: Step, by: Int32)
    /// Two steps that follow each other, and the one after them, are done in the wrong order.
    case swaps(Step, Step, then: Step)

    /// The defect in words.
    public var text: String {
        switch self {
        case .losesEffect(let step): "\(step) has no effect"
        case .goesOn(let from, let to): "\(from) always goes on to \(to)"
        case .miscounts(let step, let by): "\(step) leaves the count wrong by \(by > 0 ? "+" : "")\(by)"
        case .swaps(let first, let second, _): "\(second) before \(first)"
        }
    }
}
