import CustodyProtocols

/// What an exploration found, and what it cost.
public struct Report: Sendable {
    /// What was explored.
    public let configuration: Configuration
    /// What became of each property that was checked, in the order of ``Property``.
    public let verdicts: [(property: Property, verdict: Verdict)]
    /// States visited.
    public var states = 0
    /// Transitions taken.
    public var transitions = 0
    /// Steps from the beginning to the farthest state, on the ways on which states were reached first.
    public var depth = 0
    /// Wall-clock time of the exploration, without the search for shorter counterexamples that follows it.
    public var duration = Duration.zero
    /// Memory for each state, in bytes, look-up table and parent links included.
    public var bytesPerState = 0.0

    /// The verdict on one property, or nil if it was not checked.
    public subscript(_ property: Property) -> Verdict? { verdicts.first { $0.property == property }?.verdict }

    /// The properties that do not hold.
    public var violated: [Property] { verdicts.filter { $0.verdict.counterexample != nil }.map(\.property) }

    /// Whether all was visited and every property holds.
    public var isProved: Bool { verdicts.allSatisfy { $0.verdict.isProved } }

    /// The bound at which the exploration stopped before it could say something about every property, or nil.
    public var bound: Verdict.Bound? {
        for (_, verdict) in verdicts { if case .boundHit(let bound) = verdict { return bound } }
        return nil
    }

    /// Wall-clock time of the exploration, in seconds.
    public var seconds: Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }

    /// A summary of one line.
    public var summary: String {
        let rate = seconds > 0 ? Int(Double(transitions) / seconds) : 0
        var verdict = violated.isEmpty ? "proved" : "violates " + violated.map(\.rawValue).joined(separator: ", ")
        if let bound { verdict += "; \(bound.text)" }
        let name = "\(configuration.handover.name)  \(configuration.name)"
        return "\(name): \(verdict) [\(states) states, \(transitions) transitions, depth \(depth), \(rate)/s]"
    }
}
