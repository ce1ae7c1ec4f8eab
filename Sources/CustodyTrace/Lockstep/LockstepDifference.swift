/// The first thing that a back end did otherwise than the one beside it.
public struct LockstepDifference: Sendable, Hashable {
    /// One of the two, as far as it can be seen from outside.
    public struct Side: Sendable, Hashable {
        /// What it answered.
        public let outcome: String
        /// Pages that it is about, each with what the host reads there or what stops it.
        public let pages: [String]
    }

    /// What both were told.
    public let call: String
    /// The back end.
    public let real: Side
    /// The one beside it.
    public let twin: Side
}

extension LockstepDifference: CustomStringConvertible {
    /// The call, and both sides.
    public var description: String {
        func text(_ name: String, _ side: Side) -> String {
            "  \(name): \(side.outcome)" + side.pages.map { "\n    \($0)" }.joined()
        }
        return "not in step: \(call)\n\(text("back end", real))\n\(text("beside it", twin))"
    }
}
