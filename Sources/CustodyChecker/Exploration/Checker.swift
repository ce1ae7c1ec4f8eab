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
    /// What is asked. The exploration ends as soon as all of these have a counterexample.
    public var properties: Set<Property>
    /// Whether a counterexample is a shortest one. If not, the first one that is found will do.
    public var shortest: Bool
    /// Whether the exploration ends at the first violation of any property; what it did not visit stays open.
    public var stopsAtFirst: Bool

    /// A checker that stops after `maximumStates` states: at about 90 bytes a state, 4 million are 360 MB.
    public init(
        reduction: Bool = true,
        maximumStates: Int = 4_000_000,
        properties: Set<Property> = Set(Property.allCases),
        shortest: Bool = true,
        stopsAtFirst: Bool = false
    ) {
        self.reduction = reduction
        self.maximumStates = maximumStates
        self.properties = properties
        self.shortest = shortest
        self.stopsAtFirst = stopsAtFirst
    }

    /// Explores `configuration` and says what became of every property. Deterministic but for the time it takes.
    public func check(_ configuration: Configuration) -> Report {
        let clock = ContinuousClock()
        let start = clock.now
        let asked = Property.allCases.filter(properties.contains)
        var exploration = Exploration(configuration, reduction: reduction, keepsEdges: properties.contains(.noLivelock))
        guard exploration.fits else {
            let bound = Verdict.boundHit(exploration.excess)
            return Report(configuration: configuration, verdicts: asked.map { ($0, bound) })
        }
        let isComplete = exploration.run(maximumStates: maximumStates, until: wanted)
        if isComplete, asked.contains(.noLivelock) { exploration.findLivelock() }
        let duration = clock.now - start
        let states = exploration.table.count
        let found = Set(exploration.findings.keys).subtracting([.noLivelock]).intersection(properties)
        // Taking a release first and alone can make a way longer than it need be: look for the shortest ones again.
        var again: Exploration?
        if reduction, shortest, !found.isEmpty {
            var full = Exploration(configuration, reduction: false, keepsEdges: false)
            _ = full.run(maximumStates: maximumStates, until: .all(found))
            again = full
        }
        let verdicts = asked.map { property in
            if let again, let finding = again.findings[property] {
                return (property, Verdict.counterexample(again.counterexample(property, finding)))
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
            duration: duration,
            bytesPerState: Double(exploration.bytes) / Double(max(states, 1))
        )
    }

    private var wanted: Exploration.Goal {
        if stopsAtFirst { return .any(properties) }
        return properties.count == Property.allCases.count ? .everything : .all(properties)
    }
}
