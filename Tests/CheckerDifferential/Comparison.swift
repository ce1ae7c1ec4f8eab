package import CustodyChecker

/// One set of actors, explored with and without reduction: do verdicts and lengths agree?
public struct Comparison: Sendable {
    /// The set.
    public let set: ActorSet
    /// Where the two explorations disagree, in words; nil if nowhere.
    public let difference: String?
    /// States of the exploration without reduction.
    public let states: Int

    /// Compares on `set`; nil where `custody check` refuses the set, or there are more than `maximumStates` states, so
    /// that nothing is known of some property. `blindTo` is what the reduction is made to overlook.
    package init?(_ set: ActorSet, maximumStates: Int, blindTo: Blindness = .nothing) {
        guard let configuration = set.configuration else { return nil }
        let full = Checker(reduction: false, maximumStates: maximumStates).check(configuration)
        guard full.bound == nil else { return nil }
        var checker = Checker(maximumStates: maximumStates)
        checker.blindTo = blindTo
        let reduced = checker.check(configuration)
        self.set = set
        states = full.states
        var differences: [String] = []
        for (property, verdict) in full.verdicts {
            let (one, two) = (reduced[property]?.text ?? "not asked", verdict.text)
            if one != two { differences.append("\(property.rawValue): \(one), without reduction \(two)") }
        }
        difference = differences.isEmpty ? nil : differences.joined(separator: "; ")
    }

    /// The smallest set that still shows a difference, found by leaving out one thing after the other.
    package func shrunk(maximumStates: Int, blindTo: Blindness = .nothing) -> Comparison {
        var smallest = self
        var candidates = set.smaller[...]
        while let candidate = candidates.popFirst() {
            guard let comparison = Comparison(candidate, maximumStates: maximumStates, blindTo: blindTo),
                comparison.difference != nil
            else { continue }
            smallest = comparison
            candidates = candidate.smaller[...]
        }
        return smallest
    }
}
