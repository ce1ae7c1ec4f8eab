/// A change that a back end is asked for: one run of pages, all in one ownership, to another one.
public struct OwnershipChange: Sendable, Hashable, Codable {
    /// The pages.
    public let range: PageRange
    /// The ownership that every page of the range is in.
    public let from: Ownership
    /// The ownership that every page of the range is to be in.
    public let to: Ownership
    /// Who asked.
    public let initiator: Party

    /// Describes a change; whether it is legal is the transition table's to say.
    public init(range: PageRange, from: Ownership, to: Ownership, initiator: Party) {
        self.range = range
        self.from = from
        self.to = to
        self.initiator = initiator
    }

    /// What has to happen, from the transition table.
    public var move: OwnershipMove { TransitionTable.move(from: from, to: to, initiator: initiator) }
}

extension OwnershipChange: CustomStringConvertible {
    /// The pages, and the ownership before and after.
    public var description: String { "\(range) \(from) → \(to)" }
}
