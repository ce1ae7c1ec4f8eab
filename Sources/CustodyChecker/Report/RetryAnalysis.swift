import CustodyProtocols

/// How often a caller that asks again can be refused: over every path of every interleaving.
public struct RetryAnalysis: Sendable {
    /// Whether the caller can be refused again and again while nobody else makes a step.
    public let starves: Bool
    /// How many attempts suffice if the caller asks again only after somebody else has dropped a reference.
    public let sufficientAttempts: Int

    /// Explores `configuration`, in which one operation, the first, converts and asks again when it is refused; nil if
    /// it was not explored to the end after `maximumStates` states.
    public init?(_ configuration: Configuration, maximumStates: Int = 1_000_000) {
        var exploration = Exploration(configuration, reduction: .none, keepsEdges: false)
        guard exploration.fits, exploration.run(maximumStates: maximumStates) else { return nil }
        var edges: [(from: UInt32, to: UInt32, isRefusal: Bool, isPut: Bool)] = []
        var starves = false
        for number in 0..<UInt32(truncatingIfNeeded: exploration.table.count) {
            let state = exploration.codec.unpack(exploration.table.state(number))
            for index in 0..<exploration.operations.count where !state.actors[index].isDone {
                var next = state
                let transition = exploration.step(&next, index)
                guard !transition.isBlocked else { continue }
                let isRefusal = index == 0 && transition.events.contains(.refused)
                if isRefusal, RetryAnalysis.comesBack(to: state, from: next, &exploration) { starves = true }
                let target = exploration.table.insert(exploration.codec.pack(next), from: number).number
                edges.append((number, target, isRefusal, index != 0 && transition.step == .putDrop))
            }
        }
        // The most refusals on a way from each state that count: the first, and those that follow a put of somebody
        // else. A cycle has no such put, so the numbers are bounded and the sweeps end.
        var most = [[Int]](repeating: [0, 0], count: exploration.table.count)
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for edge in edges.reversed() {
                for fresh in 0...1 {
                    let counts = edge.isRefusal && fresh == 1
                    let after = edge.isPut ? 1 : counts ? 0 : fresh
                    let value = most[Int(edge.to)][after] + (counts ? 1 : 0)
                    if value > most[Int(edge.from)][fresh] {
                        most[Int(edge.from)][fresh] = value
                        hasChanged = true
                    }
                }
            }
        }
        self.starves = starves
        sufficientAttempts = most[0][1] + 1
    }

    /// Whether the caller alone comes back to the state in which it was refused.
    private static func comesBack(to state: SystemState, from next: SystemState, _ exploration: inout Exploration)
        -> Bool
    {
        let wanted = exploration.codec.pack(state)
        var current = next
        for _ in 0..<1000 {
            guard !current.actors[0].isDone, !exploration.step(&current, 0).isBlocked else { return false }
            if exploration.codec.pack(current) == wanted { return true }
        }
        return false
    }
}
