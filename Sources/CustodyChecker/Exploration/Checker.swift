import CustodyProtocols

/// Explores every interleaving of a configuration's actors, breadth first, so that a counterexample is a shortest one.
///
/// It runs the machine of `HandoverProtocol/machine` and nothing else. With `reduction` it leaves out orders that
/// cannot matter: a step that releases a lock, which nobody else can touch before it is released, is taken first and
/// alone; and states that differ only in which of several equal actors is where count as one.
public struct Checker: Sendable {
    /// Whether orders that cannot matter are left out. Verdicts are the same either way.
    public var reduction: Bool
    /// Where to stop, in states.
    public var maximumStates: Int

    /// A checker that stops after `maximumStates` states: at about 90 bytes a state, 4 million are 360 MB.
    public init(reduction: Bool = true, maximumStates: Int = 4_000_000) {
        self.reduction = reduction
        self.maximumStates = maximumStates
    }

    /// Explores `configuration` and says what became of every property. Deterministic but for the time it takes.
    public func check(_ configuration: Configuration) -> Report {
        let clock = ContinuousClock()
        let start = clock.now
        var exploration = Exploration(configuration, reduction: reduction)
        guard exploration.fits else {
            let bound = Verdict.boundHit(.size(bits: exploration.codec.bits))
            return Report(
                configuration: configuration,
                verdicts: Property.allCases.map { ($0, bound) },
                states: 0,
                transitions: 0,
                depth: 0,
                duration: clock.now - start,
                bytesPerState: 0
            )
        }
        let isComplete = exploration.run(maximumStates: maximumStates)
        if isComplete { exploration.findLivelock() }
        let states = exploration.table.states.count
        let found = Set(exploration.findings.keys).subtracting([.noLivelock])
        // Taking a release first and alone can make a way longer than it need be: look for the shortest ones again.
        var shortest: Exploration?
        if reduction, !found.isEmpty {
            var again = Exploration(configuration, reduction: false)
            if again.run(maximumStates: maximumStates, until: found) { shortest = again }
        }
        let verdicts = Property.allCases.map { property in
            if let shortest, let finding = shortest.findings[property] {
                return (property, Verdict.counterexample(shortest.counterexample(property, finding)))
            }
            if let finding = exploration.findings[property] {
                return (property, Verdict.counterexample(exploration.counterexample(property, finding)))
            }
            return (property, isComplete ? .proved : .boundHit(.states(states)))
        }
        return Report(
            configuration: configuration,
            verdicts: verdicts,
            states: states,
            transitions: exploration.transitions,
            depth: exploration.depth,
            duration: clock.now - start,
            bytesPerState: Double(exploration.table.bytes + exploration.edges.count * 4) / Double(max(states, 1))
        )
    }
}
