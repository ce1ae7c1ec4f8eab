/// A map from every page of a range to a state, kept as maximal runs of equal states.
///
/// The map is total: each page of ``bounds`` has a state, and two neighbouring runs never have the same one, so equal
/// maps have equal runs. Runs lie in blocks of at most 128, found by binary search over the blocks' first
/// pages: a look-up is O(log *n*) in the number of runs, and an update moves at most one block's entries beside the runs
/// it replaces. A map with one state for a terabyte is one run.
public struct PageRunMap<State: Equatable & Sendable>: Sendable {
    /// The pages that have a state.
    public let bounds: PageRange

    /// The largest number of runs in a block; a fuller one is split in two.
    @usableFromInline
    static var blockCapacity: Int { 128 }

    /// Runs that follow each other: `starts` ascends, and run *i* has `states[i]`.
    @usableFromInline
    struct Block: Sendable {
        @usableFromInline var starts: [UInt64]
        @usableFromInline var states: [State]

        @inlinable
        init() {
            starts = []
            states = []
            starts.reserveCapacity(blockCapacity + 3)
            states.reserveCapacity(blockCapacity + 3)
        }
    }

    /// A run's place. It stays good until the map is changed.
    @usableFromInline
    struct Position: Equatable, Sendable {
        @usableFromInline var block: Int
        @usableFromInline var index: Int

        @inlinable
        init(block: Int, index: Int) {
            self.block = block
            self.index = index
        }
    }

    /// The first page of each block, beside the blocks so that a search touches one array.
    @usableFromInline var firsts: [UInt64]
    @usableFromInline var blocks: [Block]

    /// The number of runs.
    ///
    /// - Complexity: O(*n* / 128).
    @inlinable
    public var runCount: Int { blocks.reduce(0) { $0 + $1.starts.count } }

    /// A map of `bounds` with every page in `state`.
    @inlinable
    public init(bounds: PageRange, state: State) {
        self.bounds = bounds
        var block = Block()
        block.starts.append(bounds.start.rawValue)
        block.states.append(state)
        firsts = [bounds.start.rawValue]
        blocks = [block]
    }

    /// The state of `page`, or `nil` outside the bounds.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    @inlinable
    public subscript(page: PageNumber) -> State? {
        guard bounds.contains(page) else { return nil }
        let position = position(of: page.rawValue)
        return blocks[position.block].states[position.index]
    }

    /// The maximal run that holds `page`, or `nil` outside the bounds.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    @inlinable
    public func run(containing page: PageNumber) -> PageRun<State>? {
        guard bounds.contains(page) else { return nil }
        return run(at: position(of: page.rawValue))
    }

    /// The runs that meet `range`, cut to it, from low to high. What lies outside the bounds is left out.
    ///
    /// - Complexity: O(log *n* + *k*) for *k* runs found; nothing is allocated.
    @inlinable
    public func runs(in range: PageRange) -> Runs { Runs(map: self, range: range.intersection(bounds)) }

    /// All runs, from low to high.
    @inlinable
    public var runs: Runs { runs(in: bounds) }

    /// Whether every page of `range` is within the bounds and in `state`.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    @inlinable
    public func isUniform(_ range: PageRange, _ state: State) -> Bool {
        guard let run = run(containing: range.start) else { return false }
        return run.state == state && run.range.contains(range)
    }

    /// Puts every page of `range` that lies within the bounds into `state`.
    ///
    /// - Complexity: O(log *n* + *k*) where *k* runs are replaced, and the moves within one block.
    @inlinable
    public mutating func set(_ range: PageRange, to state: State) {
        guard let range = range.intersection(bounds) else { return }
        let low = range.start.rawValue
        let high = range.end
        var first = position(of: low)
        var last = high - 1 == low ? first : position(of: high - 1)
        let left = run(at: first)
        let right = first == last ? left : run(at: last)
        if first == last, left.state == state { return }

        // The runs that take the place of those from `first` to `last`: what stays of the first, the new run, what
        // stays of the last. A neighbour in the new state is drawn into the new run.
        var head: PageRun<State>?
        var start = low
        if left.range.start.rawValue < low {
            if left.state == state { start = left.range.start.rawValue } else { head = left }
        } else if let before = previous(first), stateOf(before) == state {
            first = before
            start = startOf(before)
        }
        var tail: (start: UInt64, state: State)?
        if right.range.end > high {
            if right.state != state { tail = (high, right.state) }
        } else if let after = next(last), stateOf(after) == state {
            last = after
        }

        var gap = removeOtherBlocks(from: first, through: last)
        let block = first.block
        if let head { fill(&gap, of: block, head.range.start.rawValue, head.state) }
        fill(&gap, of: block, start, state)
        if let tail { fill(&gap, of: block, tail.start, tail.state) }
        if !gap.isEmpty { cut(block, gap) }
        firsts[first.block] = blocks[first.block].starts[0]
        rebalance(first.block)
    }

    // MARK: Positions

    @inlinable
    func position(of page: UInt64) -> Position {
        let block = PageRunMap.lastIndex(in: firsts, notAfter: page)
        return Position(block: block, index: PageRunMap.lastIndex(in: blocks[block].starts, notAfter: page))
    }

    /// The last index whose element is at most `page`; element 0 is known to be.
    @inlinable
    static func lastIndex(in starts: [UInt64], notAfter page: UInt64) -> Int {
        var low = 0
        var high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= page { low = middle } else { high = middle }
        }
        return low
    }

    @inlinable
    func startOf(_ position: Position) -> UInt64 { blocks[position.block].starts[position.index] }

    @inlinable
    func stateOf(_ position: Position) -> State { blocks[position.block].states[position.index] }

    @inlinable
    func run(at position: Position) -> PageRun<State> {
        let start = startOf(position)
        // Not `map(startOf)`: a method as a value is a closure, which may be allocated.
        let end = if let after = next(position) { startOf(after) } else { bounds.end }
        return PageRun(range: PageRange(uncheckedStart: start, count: end - start), state: stateOf(position))
    }

    @inlinable
    func next(_ position: Position) -> Position? {
        if position.index + 1 < blocks[position.block].starts.count {
            return Position(block: position.block, index: position.index + 1)
        }
        return position.block + 1 < blocks.count ? Position(block: position.block + 1, index: 0) : nil
    }

    @inlinable
    func previous(_ position: Position) -> Position? {
        if position.index > 0 { return Position(block: position.block, index: position.index - 1) }
        guard position.block > 0 else { return nil }
        return Position(block: position.block - 1, index: blocks[position.block - 1].starts.count - 1)
    }

    // MARK: Changes

    /// Puts a run into the first place of a gap, or where the gap was if it has none left, and goes on behind it.
    @inlinable
    mutating func fill(_ gap: inout Range<Int>, of block: Int, _ start: UInt64, _ state: State) {
        let index = gap.lowerBound
        if gap.isEmpty {
            blocks[block].starts.insert(start, at: index)
            blocks[block].states.insert(state, at: index)
            gap = (index + 1)..<(index + 1)
        } else {
            blocks[block].starts[index] = start
            blocks[block].states[index] = state
            gap = (index + 1)..<gap.upperBound
        }
    }

    /// Removes the runs between two places that lie in other blocks than the first, and returns the places in that one
    /// whose runs are to be replaced.
    @inlinable
    mutating func removeOtherBlocks(from first: Position, through last: Position) -> Range<Int> {
        if first.block == last.block { return first.index..<(last.index + 1) }
        cut(last.block, 0..<(last.index + 1))
        let goesToo = blocks[last.block].starts.isEmpty
        if !goesToo { firsts[last.block] = blocks[last.block].starts[0] }
        let gone = (first.block + 1)..<(goesToo ? last.block + 1 : last.block)
        firsts.removeSubrange(gone)
        blocks.removeSubrange(gone)
        return first.index..<blocks[first.block].starts.count
    }

    @inlinable
    mutating func cut(_ block: Int, _ indices: Range<Int>) {
        blocks[block].starts.removeSubrange(indices)
        blocks[block].states.removeSubrange(indices)
    }

    /// Splits a block that is too full, and joins one that has become small to its successor.
    @inlinable
    mutating func rebalance(_ block: Int) {
        let count = blocks[block].starts.count
        let capacity = PageRunMap.blockCapacity
        if count > capacity {
            var upper = Block()
            upper.starts.append(contentsOf: blocks[block].starts[(count / 2)...])
            upper.states.append(contentsOf: blocks[block].states[(count / 2)...])
            blocks[block].starts.removeSubrange((count / 2)...)
            blocks[block].states.removeSubrange((count / 2)...)
            firsts.insert(upper.starts[0], at: block + 1)
            blocks.insert(upper, at: block + 1)
        } else if count < capacity / 4, block + 1 < blocks.count,
            count + blocks[block + 1].starts.count <= capacity / 2
        {
            let upper = blocks.remove(at: block + 1)
            firsts.remove(at: block + 1)
            blocks[block].starts.append(contentsOf: upper.starts)
            blocks[block].states.append(contentsOf: upper.states)
        }
    }
}

extension PageRunMap {
    /// The runs of a map that meet a range, each cut to that range.
    public struct Runs: Sequence, IteratorProtocol, Sendable {
        @usableFromInline let map: PageRunMap
        @usableFromInline var rest: PageRange?
        @usableFromInline var position: Position?

        @inlinable
        init(map: PageRunMap, range: PageRange?) {
            self.map = map
            rest = range
            position = range.map { map.position(of: $0.start.rawValue) }
        }

        /// The next run, or `nil` after the last.
        @inlinable
        public mutating func next() -> PageRun<State>? {
            guard let range = rest, let place = position else { return nil }
            let run = map.run(at: place)
            position = map.next(place)
            rest = range.suffix(from: PageNumber(run.range.end))
            return run.range.intersection(range).map { PageRun(range: $0, state: run.state) }
        }
    }
}

extension PageRunMap: Equatable {
    /// Whether both maps have the same bounds and the same state for every page.
    ///
    /// - Complexity: O(*n*) in the number of runs.
    @inlinable
    public static func == (left: PageRunMap, right: PageRunMap) -> Bool {
        left.bounds == right.bounds && left.runCount == right.runCount && left.runs.elementsEqual(right.runs)
    }
}
