/// What a shared object does when it is asked one thing after the other.
package protocol SequentialSpecification {
    /// What there is to know about the object.
    associatedtype State: Hashable
    /// Something that happens at one moment, with its result.
    associatedtype Event: Sendable

    /// The state after an event, or `nil` where the event cannot have this result in this state.
    func state(after event: Event, in state: State) -> State?
}

/// An event of a history, and the span of time in which it happened.
package struct TimedEvent<Event: Sendable>: Sendable {
    package let event: Event
    package let began: UInt64
    package let ended: UInt64
    /// The event, by its place in the history, that it comes after.
    package let predecessor: Int?

    package init(_ event: Event, began: UInt64, ended: UInt64, after predecessor: Int? = nil) {
        self.event = event
        self.began = began
        self.ended = ended
        self.predecessor = predecessor
    }
}

/// What has happened, as bits, and the state that it led to.
private struct Placed<State: Hashable>: Hashable {
    let done: UInt128
    let state: State
}

extension SequentialSpecification {
    /// Whether the events can be put into an order in which each happens within its span and the object does what it is
    /// specified to: Wing and Gong, *Testing and verifying concurrent objects*, with Lowe's memory of what has been tried.
    ///
    /// - Parameters:
    ///   - history: At most 128 events.
    ///   - isSound: What must hold in every state that is passed through.
    package func isLinearizable(
        _ history: [TimedEvent<Event>],
        from initial: State,
        isSound: (State) -> Bool = { _ in true }
    ) -> Bool {
        precondition(history.count <= 128)
        let all = history.count == 128 ? UInt128.max : (1 << history.count) - 1
        var seen: Set<Placed<State>> = []
        var open = [Placed(done: 0, state: initial)]
        while let node = open.popLast() {
            if node.done == all { return true }
            // Whatever ended first has to happen before anything begins that began later.
            let bound = history.indices.filter { node.done & (1 << $0) == 0 }.map { history[$0].ended }.min()
            for index in history.indices where node.done & (1 << index) == 0 {
                guard let bound, history[index].began <= bound else { continue }
                if let before = history[index].predecessor, node.done & (1 << before) == 0 { continue }
                guard let next = state(after: history[index].event, in: node.state), isSound(next) else { continue }
                let node = Placed(done: node.done | 1 << index, state: next)
                if seen.insert(node).inserted { open.append(node) }
            }
        }
        return false
    }
}
