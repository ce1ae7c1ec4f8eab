public import CustodyProtocols

/// A shortest way from the beginning to a violation, for people to read.
public struct Counterexample: Sendable {
    /// One step of the way.
    public struct Entry: Sendable {
        /// Who did it: an index into ``Counterexample/actors``.
        public var actor: Int
        /// What was done, and what happened.
        public var transition: Transition
        /// The pages afterwards.
        public var pages: String
    }

    /// The property that does not hold.
    public let property: Property
    /// The protocol.
    public let handover: HandoverProtocol
    /// The actors, one a column.
    public let actors: [String]
    /// The way, in order.
    public let entries: [Entry]
    /// How it ends: what is wrong in the last state.
    public let ending: String

    /// The counterexample as a timeline: one column an actor, the pages beside it.
    public var text: String {
        let width = max(18, entries.map { "\($0.transition.step)".count }.max() ?? 0, actors.map(\.count).max() ?? 0)
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        var lines = ["\(handover.name) violates \(property.rawValue)", property.sentence, "see \(property.source)", ""]
        lines.append("  #  " + actors.map { padded($0, width) }.joined(separator: "  ") + "  pages")
        for (number, entry) in entries.enumerated() {
            let columns = actors.indices.map { padded($0 == entry.actor ? "\(entry.transition.step)" : "·", width) }
            let count = "\(number + 1)"
            let blanks = String(repeating: " ", count: max(0, 3 - count.count))
            lines.append(blanks + count + "  " + columns.joined(separator: "  ") + "  " + entry.pages)
        }
        lines += ["", ending]
        if let last = entries.last {
            let step = last.transition.step
            lines.append("last step: \(step.function) \(step.text) (\(step.source(in: handover)))")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
