public import CustodyProtocols

/// Plants defects in a protocol that keeps every property, and sees what becomes of them.
public struct MutationTrial: Sendable {
    /// What became of a defect.
    public enum Fate: Sendable {
        /// A property noticed it, in this set of actors, after so many steps; there may be a shorter way.
        case killed(Property, set: String, steps: Int)
        /// In every set that was explored all properties hold, and the worlds in which it can end are those of the
        /// protocol without the defect: so many of them.
        case equivalent(ends: Int)
        /// No property noticed it although something ends differently in this set.
        case survives(set: String)
    }

    private let sets: [(configuration: Configuration, ends: Set<PackedState>)]

    /// A trial of `handover` on the sets of the suite, those that begin with “crowd” left out.
    public init(_ handover: HandoverProtocol) {
        sets = Suite.configurations(for: handover).filter { !$0.name.hasPrefix("crowd") }.map { configuration in
            var exploration = Exploration(configuration, reduction: .equalActorsAndOrders)
            _ = exploration.run(maximumStates: MutationTrial.bound)
            return (configuration, exploration.endWorlds)
        }
    }

    /// Explores every set with the defect in it, until a property notices.
    public func fate(of mutation: Mutation) -> Fate {
        var changed: String?
        var ends = 0
        for (configuration, expected) in sets {
            var spoiled = configuration
            spoiled.mutation = mutation
            var exploration = Exploration(spoiled, reduction: .equalActorsAndOrders)
            let isComplete = exploration.run(
                maximumStates: MutationTrial.bound,
                until: .any(Set(Property.allCases))
            )
            if isComplete { exploration.findLivelock() }
            if let (property, finding) = exploration.firstFinding {
                let steps = exploration.length(finding)
                return .killed(property, set: configuration.name, steps: steps)
            }
            if exploration.endWorlds != expected, changed == nil { changed = configuration.name }
            ends += expected.count
        }
        return changed.map { .survives(set: $0) } ?? .equivalent(ends: ends)
    }

    /// Where the exploration of one set stops, in states. Defects can make counts grow without end.
    private static let bound = 400_000
}
