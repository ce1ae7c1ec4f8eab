/// A state of a configuration, packed: a number for every actor, then the world; the rest is zero.
struct PackedState: Hashable, Sendable {
    /// The most words a state can have: eight numbers, and 256 bits of world.
    static let maximumWords = 6

    var words: InlineArray<6, UInt64>

    init() { words = InlineArray(repeating: 0) }

    static func == (left: PackedState, right: PackedState) -> Bool {
        var difference: UInt64 = 0
        for index in 0..<6 { difference |= left.words[index] ^ right.words[index] }
        return difference == 0
    }

    func hash(into hasher: inout Hasher) { hasher.combine(hash(6)) }

    /// A well mixed hash of the first `count` words.
    @inline(__always)
    func hash(_ count: Int) -> UInt64 {
        var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
        for index in 0..<count {
            hash ^= words[index]
            hash = hash &* 0xFF51_AFD7_ED55_8CCD
            hash ^= hash &>> 32
        }
        return hash
    }
}

/// Writes fields of a few bits one after the other, from some word on.
struct BitWriter {
    var state: PackedState
    var position: Int

    /// Appends the low `bits` bits of `value`.
    @inline(__always)
    mutating func put(_ value: UInt64, _ bits: Int) {
        let word = position &>> 6
        let shift = UInt64(truncatingIfNeeded: position & 63)
        let field = value & ((1 &<< UInt64(truncatingIfNeeded: bits)) &- 1)
        guard word < 6 else { return }
        state.words[word] |= field &<< shift
        if (position & 63) &+ bits > 64, word < 5 { state.words[word &+ 1] |= field &>> (64 &- shift) }
        position &+= bits
    }
}

/// Reads the fields back in the same order.
struct BitReader {
    let state: PackedState
    var position: Int

    /// The next `bits` bits.
    @inline(__always)
    mutating func take(_ bits: Int) -> UInt64 {
        let word = position &>> 6
        let shift = UInt64(truncatingIfNeeded: position & 63)
        guard word < 6 else { return 0 }
        var field = state.words[word] &>> shift
        if (position & 63) &+ bits > 64, word < 5 { field |= state.words[word &+ 1] &<< (64 &- shift) }
        position &+= bits
        return field & ((1 &<< UInt64(truncatingIfNeeded: bits)) &- 1)
    }
}
