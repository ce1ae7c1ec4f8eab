/// What an exploration found out about one property.
public enum Verdict: Sendable {
    /// It holds in every state and transition that the configuration can reach: all were visited.
    case proved
    /// It does not hold; here is the shortest way to show it.
    case counterexample(Counterexample)
    /// It held in all that was visited, but the exploration stopped at a bound.
    case boundHit(Bound)

    /// Where an exploration stops.
    public enum Bound: Hashable, Sendable {
        /// After this many states.
        case states(Int)
        /// The configuration does not fit into a packed state: this many bits or actors too many.
        case size(bits: Int)
    }

    /// Whether the property holds.
    public var isProved: Bool { if case .proved = self { true } else { false } }

    /// The counterexample, if there is one.
    public var counterexample: Counterexample? {
        if case .counterexample(let counterexample) = self { counterexample } else { nil }
    }
}
