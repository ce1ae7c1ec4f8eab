package import CustodyChecker

/// Sets drawn by chance from a seed, each compared with and without reduction.
public struct RandomComparisons: Sendable {
    /// How many sets were compared.
    public private(set) var count = 0
    /// States of the explorations without reduction.
    public private(set) var states = 0
    /// The first difference, shrunk; nil if there is none.
    public private(set) var difference: Comparison?

    /// Compares `count` sets drawn from `seed`, or fewer if one is different. A set with more than `maximumStates` states
    /// is not counted.
    package init(seed: UInt64, count wanted: Int, maximumStates: Int, blindTo: Blindness = .nothing) {
        var generator = SeededGenerator(seed: seed)
        while count < wanted, difference == nil {
            let set = ActorSet(using: &generator)
            guard let comparison = Comparison(set, maximumStates: maximumStates, blindTo: blindTo) else { continue }
            count += 1
            states += comparison.states
            if comparison.difference != nil {
                difference = comparison.shrunk(maximumStates: maximumStates, blindTo: blindTo)
            }
        }
    }
}
