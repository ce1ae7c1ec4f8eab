import CustodyProtocols

/// What an exploration found, and what it cost.
public struct Report: Sendable {
    /// What was explored.
    public let configuration: Configuration
    /// What became of each property that was checked, in the order of ``Property``.
    public let verdicts: [(property: Property, verdict: Verdict)]
    /// States visited.
    public let states: Int
    /// Transitions taken.
    public let transitions: Int
    /// Steps from the beginning to the farthest state.
    public let depth: Int
    /// Wall-clock time.
    public let duration: Duration
    /// Memory for each state, in bytes, look-up table and parent links included.
    public let bytesPerState: Double

    /// The verdict on one property, or nil if it was not checked.
    public subscript(_ property: Property) -> Verdict? { verdicts.first { $0.property == property }?.verdict }

    /// The properties that do not hold.
    public var violated: [Property] { verdicts.filter { $0.verdict.counterexample != nil }.map(\.property) }

    /// Whether all was visited and every property holds.
    public var isProved: Bool { verdicts.allSatisfy { $0.verdict.isProved } }

    /// A summary of one line.
    public var summary: String {
        let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
        let rate = seconds > 0 ? Int(Double(transitions) / seconds) : 0
        var verdict = violated.isEmpty ? "proved" : "violates " + violated.map(\.rawValue).joined(separator: ", ")
        for (_, one) in verdicts {
            if case .boundHit(let bound) = one {
                verdict += "; stopped at \(bound)"
                break
            }
        }
        let name = "\(configuration.handover.name)  \(configuration.name)"
        return "\(name): \(verdict) [\(states) states, \(transitions) transitions, depth \(depth), \(rate)/s]"
    }
}
