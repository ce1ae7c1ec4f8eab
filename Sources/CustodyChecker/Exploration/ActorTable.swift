/// The words of all actors that were met, numbered: a state holds their numbers. There are few, however many states.
///
/// Open addressing with linear probing; at most half full. O(1) on average.
struct ActorTable: Sendable {
    /// Bits of a number.
    static let bits = 16

    private var words: ContiguousArray<UInt64> = []
    private var slots = ContiguousArray<UInt32>(repeating: 0, count: 1 << 9)
    private var mask = (1 << 9) - 1

    /// Whether there are more words than numbers.
    var isFull: Bool { words.count > 1 << ActorTable.bits }

    /// The word with a number.
    @inline(__always)
    func word(_ number: UInt64) -> UInt64 { words[Int(truncatingIfNeeded: number)] }

    /// The number of a word, which is a new one if the word is.
    @inline(__always)
    mutating func number(_ word: UInt64) -> UInt64 {
        var slot = Int(truncatingIfNeeded: ActorTable.hash(word)) & mask
        while slots[slot] != 0 {
            let number = slots[slot] &- 1
            if words[Int(number)] == word { return UInt64(number) }
            slot = (slot &+ 1) & mask
        }
        return insert(word)
    }

    private mutating func insert(_ word: UInt64) -> UInt64 {
        words.append(word)
        if words.count * 2 > mask {
            mask = mask * 2 + 1
            slots = ContiguousArray(repeating: 0, count: mask + 1)
            for number in words.indices { place(number) }
        } else {
            place(words.count - 1)
        }
        return UInt64(words.count - 1)
    }

    private mutating func place(_ number: Int) {
        var slot = Int(truncatingIfNeeded: ActorTable.hash(words[number])) & mask
        while slots[slot] != 0 { slot = (slot &+ 1) & mask }
        slots[slot] = UInt32(truncatingIfNeeded: number) &+ 1
    }

    @inline(__always)
    private static func hash(_ word: UInt64) -> UInt64 { (word &* 0x9E37_79B9_7F4A_7C15) &>> 40 }
}
