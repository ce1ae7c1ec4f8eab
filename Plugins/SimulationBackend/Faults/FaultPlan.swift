/// The faults of a run, and how far it has got.
struct FaultPlan: Sendable {
    private let faults: [Fault]
    private var counts: [Fault.Point: Int] = [:]

    init(_ faults: [Fault]) { self.faults = faults }

    /// Counts a call, and returns what goes wrong with it.
    mutating func count(_ point: Fault.Point) -> [Fault.Effect] {
        guard !faults.isEmpty else { return [] }
        let count = counts[point, default: 0] + 1
        counts[point] = count
        return faults.filter { $0.point == point && $0.occurrence == count }.map(\.effect)
    }
}
