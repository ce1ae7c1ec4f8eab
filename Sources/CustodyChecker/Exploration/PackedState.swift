/// A state of a configuration, packed into 64 bytes.
struct PackedState: Hashable, Sendable {
    var words: InlineArray<8, UInt64>

    init() { words = InlineArray(repeating: 0) }

    @inline(__always)
    static func == (left: PackedState, right: PackedState) -> Bool {
        var difference: UInt64 = 0
        for index in 0..<8 { difference |= left.words[index] ^ right.words[index] }
        return difference == 0
    }

    func hash(into hasher: inout Hasher) { hasher.combine(hash) }

    /// A well mixed hash of all bits.
    @inline(__always)
    var hash: UInt64 {
        var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
        for index in 0..<8 {
            hash ^= words[index]
            hash = hash &* 0xFF51_AFD7_ED55_8CCD
            hash ^= hash &>> 32
        }
        return hash
    }
}

/// Writes fields of a few bits one after the other.
struct BitWriter {
    var state = PackedState()
    var position = 0

    /// Appends the low `bits` bits of `value`.
    @inline(__always)
    mutating func put(_ value: UInt64, _ bits: Int) {
        let word = position &>> 6
        let shift = UInt64(position & 63)
        let field = value & ((1 &<< UInt64(bits)) &- 1)
        state.words[word & 7] |= field &<< shift
        if Int(shift) &+ bits > 64 { state.words[(word &+ 1) & 7] |= field &>> (64 &- shift) }
        position &+= bits
    }
}

/// Reads the fields back in the same order.
struct BitReader {
    let state: PackedState
    var position = 0

    init(_ state: PackedState) { self.state = state }

    /// The next `bits` bits.
    @inline(__always)
    mutating func take(_ bits: Int) -> UInt64 {
        let word = position &>> 6
        let shift = UInt64(position & 63)
        var field = state.words[word & 7] &>> shift
        if Int(shift) &+ bits > 64 { field |= state.words[(word &+ 1) & 7] &<< (64 &- shift) }
        position &+= bits
        return field & ((1 &<< UInt64(bits)) &- 1)
    }
}
