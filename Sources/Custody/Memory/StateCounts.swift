/// The number of pages in each state, for up to four states.
///
/// Each state has a slot, whose number stays the same while pages are in it. With more than four states the counts are
/// incomplete, and stay so until they are made anew.
@usableFromInline
struct StateCounts<State: Equatable & Sendable>: Sendable {
    /// The state of each slot; that of a slot without pages means nothing.
    @usableFromInline var states: InlineArray<4, State>
    @usableFromInline var pages: InlineArray<4, UInt64>
    /// Whether every page is counted.
    @usableFromInline var isComplete = true

    /// `count` pages in one state, which has slot 0.
    @inlinable
    init(_ state: State, _ count: UInt64) {
        states = InlineArray(repeating: state)
        pages = InlineArray(repeating: 0)
        pages[0] = count
    }

    /// The slot of a state that pages are in.
    @inlinable
    func slot(of state: State) -> Int? {
        for slot in 0..<4 where pages[slot] > 0 && states[slot] == state { return slot }
        return nil
    }

    /// Counts pages in, and returns their slot; `nil` where four other states have pages.
    @inlinable
    @discardableResult
    mutating func add(_ state: State, _ count: UInt64) -> Int? {
        var free: Int?
        for slot in 0..<4 {
            if pages[slot] == 0 {
                free = free ?? slot
            } else if states[slot] == state {
                pages[slot] += count
                return slot
            }
        }
        guard let free else {
            isComplete = false
            return nil
        }
        states[free] = state
        pages[free] = count
        return free
    }

    /// Counts pages out.
    @inlinable
    mutating func remove(_ state: State, _ count: UInt64) {
        guard isComplete else { return }
        guard let slot = slot(of: state), pages[slot] >= count else {
            isComplete = false
            return
        }
        pages[slot] -= count
    }

    /// Counts all pages of others in.
    @inlinable
    mutating func add(_ other: StateCounts) {
        isComplete = isComplete && other.isComplete
        guard isComplete else { return }
        for slot in 0..<4 where other.pages[slot] > 0 { add(other.states[slot], other.pages[slot]) }
    }

    /// Counts all pages of others out.
    @inlinable
    mutating func remove(_ other: StateCounts) {
        isComplete = isComplete && other.isComplete
        guard isComplete else { return }
        for slot in 0..<4 where other.pages[slot] > 0 { remove(other.states[slot], other.pages[slot]) }
    }

    /// The number of pages in states that count.
    @inlinable
    func pageCount(where isCounted: (State) -> Bool) -> UInt64 {
        var count: UInt64 = 0
        for slot in 0..<4 where pages[slot] > 0 && isCounted(states[slot]) { count += pages[slot] }
        return count
    }
}
