public import CustodyProtocols

/// A way from the beginning to a violation, for people to read.
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
    /// Whether no way is shorter: it was found breadth first, no order left out.
    public let isShortest: Bool
    /// What was explored.
    public let configuration: Configuration
    /// What the actors do, in the order of ``actors``.
    public let operations: [Operation]
    /// The actors, one a column.
    public let actors: [String]
    /// The way, in order.
    public let entries: [Entry]
    /// The pages at the beginning.
    public let start: String
    /// Who waits in the last state, and for what.
    public let waits: [(actor: Int, transition: Transition)]
    /// The last state.
    let last: SystemState

    /// The protocol.
    public var handover: HandoverProtocol { configuration.handover }

    /// How many steps it takes, in words: “at most” where a shorter one may exist.
    public var lengthText: String { "\(isShortest ? "" : "at most ")\(entries.count)" }

    /// How it ends: what is wrong in the last state.
    public var ending: String {
        var lines: [String] = []
        switch property {
        case .noLivelock: lines.append("From here the end cannot be reached any more, whatever happens.")
        case .noDeadlock, .noSelfDeadlock, .noStrandedCaller: lines.append("Nobody can help any more:")
        case .handoverNotLost, .refusalChangesNothing, .completedIsTrue: lines.append("This is how it ends:")
        default: lines.append("The last step breaks the property.")
        }
        for (actor, transition) in waits {
            lines.append("\(actors[actor]) waits at \(transition.step) for \(transition.wait.text)")
        }
        return lines.joined(separator: "\n")
    }

    /// The code of the last step: the function, what it does there, and where it was published.
    public var code: String? {
        guard let step = entries.last?.transition.step else { return nil }
        return "\(step.function) \(step.text) (\(step.source(in: handover)))"
    }

    /// The counterexample as a timeline: one column an actor, the pages beside it.
    public var text: String {
        let width = max(18, entries.map { "\($0.transition.step)".count }.max() ?? 0, actors.map(\.count).max() ?? 0)
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        var lines = ["\(handover.name) violates \(property.rawValue)", property.sentence, "see \(property.source)", ""]
        lines.append("  #  " + actors.map { padded($0, width) }.joined(separator: "  ") + "  pages")
        lines.append("     " + actors.map { _ in padded("", width) }.joined(separator: "  ") + "  " + start)
        for (number, entry) in entries.enumerated() {
            let columns = actors.indices.map { padded($0 == entry.actor ? "\(entry.transition.step)" : "·", width) }
            let count = "\(number + 1)"
            let blanks = String(repeating: " ", count: max(0, 3 - count.count))
            lines.append(blanks + count + "  " + columns.joined(separator: "  ") + "  " + entry.pages)
        }
        lines += ["", ending]
        if !isShortest { lines.append("There may be a shorter way.") }
        if let code { lines.append("last step: \(code)") }
        return lines.joined(separator: "\n") + "\n"
    }
}
