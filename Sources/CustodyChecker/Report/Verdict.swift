/// What an exploration found out about one property.
public enum Verdict: Sendable {
    /// It holds in every state and transition that the configuration can reach: all were visited.
    case proved
    /// It does not hold; here is a way to show it.
    case counterexample(Counterexample)
    /// It held in all that was visited, but the exploration stopped at a bound.
    case boundHit(Bound)

    /// Where an exploration stops.
    public enum Bound: Hashable, Sendable {
        /// After this many states.
        case states(Int)
        /// A state of the configuration takes so many bits, which are too many.
        case size(bits: Int)
        /// The configuration has so many actors, which are too many.
        case actors(Int)

        /// The bound in words.
        public var text: String {
            switch self {
            case .states(let count): "stopped after \(count) states"
            case .size(let bits): "not explored: a state takes \(bits) bits and 384 is the limit"
            case .actors(let count): "not explored: \(count) actors, the completer included, and 8 is the limit"
            }
        }
    }

    /// Whether the property holds.
    public var isProved: Bool { if case .proved = self { true } else { false } }

    /// The verdict in a few words: proved for the bound, the length of the counterexample, or the bound.
    /// “At most” is said where a shorter one may exist.
    public var text: String {
        switch self {
        case .proved: "proved for the bound"
        case .counterexample(let counterexample): "counterexample (\(counterexample.lengthText) steps)"
        case .boundHit(let bound): "open: \(bound.text)"
        }
    }

    /// The counterexample, if there is one.
    public var counterexample: Counterexample? {
        if case .counterexample(let counterexample) = self { counterexample } else { nil }
    }
}
