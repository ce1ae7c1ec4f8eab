/// The states that were reached, in the order in which they were, each with the one it was reached from.
///
/// Open addressing with linear probing; at most half full. Insertion is O(1) on average.
struct StateTable {
    /// Words of a state.
    private let stride: Int
    private(set) var count = 0
    private(set) var parents: ContiguousArray<UInt32> = []
    private var words: ContiguousArray<UInt64> = []
    private var slots: ContiguousArray<UInt32>
    private var mask: Int

    /// An empty table for states of `stride` words.
    init(stride: Int) {
        self.stride = stride
        mask = (1 << 12) - 1
        slots = ContiguousArray(repeating: 0, count: mask + 1)
    }

    /// The number of the state, and whether it is new.
    mutating func insert(_ state: PackedState, from parent: UInt32) -> (number: UInt32, isNew: Bool) {
        var slot = Int(truncatingIfNeeded: state.hash(stride)) & mask
        while slots[slot] != 0 {
            let number = slots[slot] &- 1
            if isEqual(number, state) { return (number, false) }
            slot = (slot &+ 1) & mask
        }
        let number = UInt32(truncatingIfNeeded: count)
        slots[slot] = number &+ 1
        for index in 0..<stride { words.append(state.words[index]) }
        parents.append(parent)
        count &+= 1
        if count &* 2 > mask { grow() }
        return (number, true)
    }

    /// The number of a state that was reached, or nil. O(1) on average.
    func number(_ state: PackedState) -> UInt32? {
        var slot = Int(truncatingIfNeeded: state.hash(stride)) & mask
        while slots[slot] != 0 {
            if isEqual(slots[slot] &- 1, state) { return slots[slot] &- 1 }
            slot = (slot &+ 1) & mask
        }
        return nil
    }

    @inline(__always)
    private func isEqual(_ number: UInt32, _ state: PackedState) -> Bool {
        let base = Int(number) &* stride
        for index in 0..<stride where words[base &+ index] != state.words[index] { return false }
        return true
    }

    /// A state by its number.
    func state(_ number: UInt32) -> PackedState {
        var state = PackedState()
        let base = Int(number) &* stride
        for index in 0..<stride { state.words[index] = words[base &+ index] }
        return state
    }

    private mutating func grow() {
        mask = mask * 2 + 1
        slots = ContiguousArray(repeating: 0, count: mask + 1)
        for number in 0..<count {
            var slot = Int(truncatingIfNeeded: state(UInt32(truncatingIfNeeded: number)).hash(stride)) & mask
            while slots[slot] != 0 { slot = (slot &+ 1) & mask }
            slots[slot] = UInt32(truncatingIfNeeded: number) &+ 1
        }
    }

    /// Bytes in use for all states.
    var bytes: Int { words.count * 8 + parents.count * 4 + slots.count * 4 }
}
