public import Custody

/// Pages that two accounts of a guest's memory do not agree about.
public struct OwnershipDifference: Sendable, Hashable, Codable {
    /// The pages.
    public let range: PageRange
    /// Their ownership by the first account, or `nil` where it has no RAM there.
    public let before: Ownership?
    /// Their ownership by the second account, or `nil` where it has no RAM there.
    public let after: Ownership?

    /// The maximal runs about which two lists of runs do not agree.
    ///
    /// - Complexity: O(*n* log *n*) in the number of runs.
    static func between(
        _ first: [ControllerSnapshot.Run],
        _ second: [ControllerSnapshot.Run]
    ) -> [OwnershipDifference] {
        let runs = first + second
        guard let low = runs.map(\.range.start.rawValue).min(), let high = runs.map(\.range.end).max() else {
            return []
        }
        let bounds = PageRange(uncheckedStart: low, count: high - low)
        func map(_ runs: [ControllerSnapshot.Run]) -> PageRunMap<Ownership?> {
            var map = PageRunMap<Ownership?>(bounds: bounds, state: nil)
            for run in runs { map.set(run.range, to: run.ownership) }
            return map
        }
        let after = map(second)
        var found: [OwnershipDifference] = []
        for run in map(first).runs {
            for other in after.runs(in: run.range) where other.state != run.state {
                found.append(OwnershipDifference(range: other.range, before: run.state, after: other.state))
            }
        }
        return found
    }
}

extension OwnershipDifference: CustomStringConvertible {
    /// The pages, and what each account says.
    public var description: String {
        func name(_ ownership: Ownership?) -> String { ownership.map { "\($0)" } ?? "no memory" }
        return "\(range) \(name(before)) → \(name(after))"
    }
}
