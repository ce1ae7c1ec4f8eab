/// How far a back end got with moving pages. An error is thrown instead, and never mixed up with "not yet".
public enum MoveOutcome: Sendable {
    /// The pages have changed hands.
    case done
    /// References that the back end sees are in the way, and it is not to wait for them: nothing has moved, and nothing is
    /// registered.
    case blocked(by: [Blocker])
    /// Somebody holds the pages, and nobody says when that ends. Nothing has moved: the engine calls
    /// ``PageMover/move(_:)`` again, after a wait that grows, until it is done.
    case held(by: [Blocker])
    /// Somebody has been asked to let go, and the back end hears of the answer: the engine calls ``PageMover/move(_:)``
    /// again when the back end says so (``PageMover/retry(_:)``).
    case asked(by: [Blocker])
}
