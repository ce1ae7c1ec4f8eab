import Custody
import Synchronization

/// The copies in and out that are under way, each in a place of its own: entered and left without a lock, and seen by
/// whoever takes pages from the host.
///
/// A copy enters its place, and then looks whether the map allows it its pages. Whoever takes pages from the host denies
/// them in the map, under the controller's lock, and then looks into the places. Both are sequentially consistent, so that
/// either the copy finds its pages denied, and leaves, or whoever takes them finds the copy in its place, and waits.
///
/// Who copies what is kept on the copy's stack; its place has the address. Whoever wants to look there marks the place
/// first, by an exchange that fails if the copy has left it. A copy whose place has been marked must take the controller's
/// lock before it returns, and whoever marked it holds that lock: so the record lives for as long as it is looked at. It is
/// the same mark that has the copy wake whom it held up.
@safe final class AccessBoard: Sendable {
    /// One copy, on its thread's stack.
    @unsafe struct Record {
        let range: PageRange
        let holder: UnsafePointer<Holder>
    }

    /// A place, with two cache lines to itself.
    private struct Place: ~Copyable {
        /// 0, or the address of the record, with ``marked`` and, in the upper 16 bits, what can be known of its pages
        /// without looking there.
        let word = Atomic<UInt>(0)
        private let rest = InlineArray<15, UInt>(repeating: 0)
    }

    static let places = 64
    private static let marked: UInt = 1
    private static let addressBits: UInt = 1 << 48 - 1

    // Sendable: the pointer does not change after `init`, and what it leads to is atomic.
    private nonisolated(unsafe) let board: UnsafeMutablePointer<Place>
    /// A bit for each place that has been entered at any time: no other has to be looked at.
    private let used = Atomic<UInt64>(0)

    init() {
        unsafe board = .allocate(capacity: Self.places)
        for place in 0..<Self.places { unsafe (board + place).initialize(to: Place()) }
    }

    deinit {
        unsafe board.deinitialize(count: Self.places)
        unsafe board.deallocate()
    }

    // MARK: Without the lock

    /// Takes a place for the copy of a record, which must stay where it is until ``leave(_:)``; `nil` where none is free.
    @unsafe func enter(_ record: UnsafePointer<Record>) -> Int? {
        let address = UInt(bitPattern: record)
        // An address that does not fit has no place, and so has one that is odd.
        guard address & ~Self.addressBits == 0, address & Self.marked == 0 else { return nil }
        let word = unsafe address | Self.hint(of: record.pointee.range)
        let first = Int(Self.place(of: Thread.number))
        for offset in 0..<Self.places {
            let place = (first + offset) % Self.places
            // A place that is taken is looked at and not written to.
            guard unsafe board[place].word.load(ordering: .relaxed) == 0 else { continue }
            if used.load(ordering: .sequentiallyConsistent) & 1 << place == 0 {
                used.bitwiseOr(1 << place, ordering: .sequentiallyConsistent)
            }
            let isMine = unsafe board[place].word.compareExchange(
                expected: 0,
                desired: word,
                successOrdering: .sequentiallyConsistent,
                failureOrdering: .relaxed
            ).exchanged
            if isMine { return place }
        }
        return nil
    }

    /// Where a thread looks first: the upper bits of a product in which all bits of its number have a part.
    static func place(of thread: UInt) -> UInt {
        (thread &* 0x9e37_79b9_7f4a_7c15) >> UInt(UInt.bitWidth - places.trailingZeroBitCount)
    }

    /// Gives a place back.
    ///
    /// - Returns: whether it has been marked. The caller must then take the controller's lock before the record goes.
    func leave(_ place: Int) -> Bool {
        unsafe board[place].word.exchange(0, ordering: .acquiringAndReleasing) & Self.marked != 0
    }

    /// How many places are taken at the moment, for tests.
    var taken: Int { (0..<Self.places).count { unsafe board[$0].word.load(ordering: .sequentiallyConsistent) != 0 } }

    // MARK: Under the lock

    /// Whether a copy of pages of `range` is under way; if so, its end is going to be told. Where they have been denied
    /// before, no other begins.
    func isBusy(_ range: PageRange) -> Bool {
        var isBusy = false
        unsafe forEach(meeting: range) { _, _ in isBusy = true }
        return isBusy
    }

    /// The copies of pages of `range`, cut to it, as found at a time. Their ends are going to be told.
    func blockers(of range: PageRange, at now: Timestamp) -> [Blocker] {
        var blockers: [Blocker] = []
        unsafe forEach(meeting: range) { record, held in
            let holder = unsafe record.holder.pointee
            blockers.append(Blocker(holder: holder, range: held, kind: .access, since: now))
        }
        return blockers
    }

    /// Marks the copies of pages of `range` and calls `body` with each, which must not keep the record.
    @unsafe private func forEach(meeting range: PageRange, _ body: (Record, PageRange) -> Void) {
        // Orders what was denied before what is looked at now.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        var used = used.load(ordering: .sequentiallyConsistent)
        while used != 0 {
            let place = used.trailingZeroBitCount
            used &= used - 1
            guard let record = unsafe mark(place, range), let held = unsafe record.range.intersection(range)
            else { continue }
            unsafe body(record, held)
        }
    }

    /// Marks a place and returns what is there; `nil` where that is nothing, or no copy of pages of `range`.
    @unsafe private func mark(_ place: Int, _ range: PageRange) -> Record? {
        var word = unsafe board[place].word.load(ordering: .sequentiallyConsistent)
        while word != 0, Self.mayMeet(word, range) {
            let (exchanged, original) = unsafe board[place].word.compareExchange(
                expected: word,
                desired: word | Self.marked,
                ordering: .sequentiallyConsistent
            )
            if exchanged {
                return unsafe UnsafePointer<Record>(bitPattern: word & Self.addressBits & ~Self.marked)?.pointee
            }
            word = original
        }
        return nil
    }

    // MARK: What a word says of pages

    /// The lower 14 bits of the first page, and how many pages there are, or 0 for more than three.
    private static func hint(of range: PageRange) -> UInt {
        UInt(range.start.rawValue & 0x3fff) << 50 | UInt(range.count < 4 ? range.count : 0) << 48
    }

    private static func mayMeet(_ word: UInt, _ range: PageRange) -> Bool {
        let count = UInt64(word >> 48 & 3)
        let first = UInt64(word >> 50)
        let ahead = (first &- range.start.rawValue) & 0x3fff
        let behind = (range.start.rawValue &- first) & 0x3fff
        return count == 0 || ahead < range.count || behind < count
    }
}
