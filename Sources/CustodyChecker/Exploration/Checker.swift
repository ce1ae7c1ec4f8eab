import CustodyProtocols

/// Explores every interleaving of a configuration's actors.
///
/// It runs the machine of `HandoverProtocol/machine` and nothing else. With `reduction` it leaves out what cannot matter:
/// of states that differ only in which of several equal actors is where, all but one; and of the orders of steps that
/// touch nothing in common, all but one. What a step touches is recorded when it is taken, never said by hand;
/// `docs/protocols.md` has the argument. Verdicts are the same with and without.
public struct Checker: Sendable {
    /// Whether what cannot matter is left out. Verdicts are the same either way.
    public var reduction: Bool
    /// Where to stop, in states.
    public var maximumStates: Int
    /// What is asked. The exploration ends as soon as all of these have a counterexample.
    public var properties: Set<Property>
    /// Whether shortest counterexamples are looked for: breadth first, without leaving out orders, as far as
    /// `maximumStates` goes. If not, the first one that is found will do. ``Counterexample/isShortest`` says what it is.
    public var shortest: Bool
    /// Whether the exploration ends at the first violation of any property; what it did not visit stays open.
    public var stopsAtFirst: Bool

    /// What the reduction is made to overlook: for tests of the tests.
    package var blindTo = Blindness.nothing

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
        let keepsEdges = asked.contains(.noLivelock)
        let reductions: Exploration.Reduction = reduction ? .equalActorsAndOrders : .none
        var exploration = Exploration(configuration, reduction: reductions, keepsEdges: keepsEdges)
        exploration.blindTo = blindTo
        guard exploration.fits else {
            let bound = Verdict.boundHit(exploration.excess)
            return Report(configuration: configuration, verdicts: asked.map { ($0, bound) })
        }
        let isComplete = exploration.run(maximumStates: maximumStates, until: wanted)
        if isComplete, keepsEdges { exploration.findLivelock() }
        let duration = clock.now - start
        let found = Set(exploration.findings.keys).intersection(properties)
        let shorter = reduction && shortest && !found.isEmpty ? breadthFirst(configuration, found) : nil
        let verdicts = asked.map { property in
            if let shorter, let finding = shorter.findings[property] {
                return (property, Verdict.counterexample(shorter.counterexample(property, finding, isShortest: true)))
            }
            if let finding = exploration.findings[property] {
                let way = exploration.counterexample(property, finding, isShortest: !reduction)
                return (property, Verdict.counterexample(way))
            }
            return (property, isComplete ? .proved : .boundHit(.states(exploration.table.count)))
        }
        return Report(
            configuration: configuration,
            verdicts: verdicts,
            states: exploration.table.count,
            transitions: exploration.transitions,
            depth: exploration.depth,
            duration: duration,
            bytesPerState: Double(exploration.bytes) / Double(max(exploration.table.count, 1))
        )
    }

    /// Looks for shortest ways to break `found`: leaving out orders can make a way longer than it need be. Equal actors
    /// still count once, which changes no length. What is not found within the bound stays as it is.
    private func breadthFirst(_ configuration: Configuration, _ found: Set<Property>) -> Exploration {
        let looksForTraps = found.contains(.noLivelock)
        var exploration = Exploration(configuration, reduction: .equalActors, keepsEdges: looksForTraps)
        // Only when all was visited is it known which state has no way out.
        let isComplete = exploration.run(
            maximumStates: maximumStates,
            until: looksForTraps ? .everything : .all(found)
        )
        if isComplete, looksForTraps { exploration.findLivelock() }
        return exploration
    }

    private var wanted: Exploration.Goal {
        if stopsAtFirst { return .any(properties) }
        return properties.count == Property.allCases.count ? .everything : .all(properties)
    }
}
