/// The states that were reached, in the order in which they were, each with the one it was reached from.
///
/// Open addressing with linear probing; at most half full. Insertion is O(1) on average.
struct StateTable {
    private(set) var states: ContiguousArray<PackedState> = []
    private(set) var parents: ContiguousArray<UInt32> = []
    private var slots: ContiguousArray<UInt32>
    private var mask: Int

    init() {
        mask = (1 << 12) - 1
        slots = ContiguousArray(repeating: 0, count: mask + 1)
    }

    /// The number of the state, and whether it is new.
    mutating func insert(_ state: PackedState, from parent: UInt32) -> (number: UInt32, isNew: Bool) {
        var slot = Int(truncatingIfNeeded: state.hash) & mask
        while slots[slot] != 0 {
            let number = slots[slot] &- 1
            if states[Int(number)] == state { return (number, false) }
            slot = (slot &+ 1) & mask
        }
        let number = UInt32(truncatingIfNeeded: states.count)
        slots[slot] = number &+ 1
        states.append(state)
        parents.append(parent)
        if states.count * 2 > mask { grow() }
        return (number, true)
    }

    private mutating func grow() {
        mask = mask * 2 + 1
        slots = ContiguousArray(repeating: 0, count: mask + 1)
        for (number, state) in states.enumerated() {
            var slot = Int(truncatingIfNeeded: state.hash) & mask
            while slots[slot] != 0 { slot = (slot &+ 1) & mask }
            slots[slot] = UInt32(truncatingIfNeeded: number) &+ 1
        }
    }

    /// A state by its number.
    @inline(__always)
    func state(_ number: UInt32) -> PackedState { states[Int(number)] }

    /// How many states there are.
    var count: Int { states.count }

    /// Bytes in use for all states.
    var bytes: Int { states.count * (MemoryLayout<PackedState>.stride + 4) + slots.count * 4 }
}
