/// A part of a ``PageRunMap``: the states of the pages from a first one to an end, which its parent knows.
///
/// A B+ tree. All leaves are at one depth. A leaf is a list of runs, or a window of codes where there are so many runs that
/// they would take more memory. Leaves end on boundaries of windows, counted from the first page of the map, and each
/// stands for itself: a run that goes on beyond a leaf has a part in each. A change after a copy copies the path to it.
@usableFromInline
struct PageRunTree<State: Equatable & Sendable>: Sendable {
    /// The pages of a window.
    @usableFromInline static var windowPages: UInt64 { 8192 }
    /// The largest number of runs in a list. A fuller one is split, or it becomes a window.
    @usableFromInline static var runCapacity: Int { 96 }
    /// The number of runs from which on down a window becomes a list, and a list may be joined to its neighbour.
    @usableFromInline static var fewRuns: Int { 24 }
    /// The largest number of children.
    @usableFromInline static var childCapacity: Int { 32 }
    /// The smallest number of children, but for the root.
    @usableFromInline static var fewChildren: Int { 8 }

    /// The pages of a tree, and the first page of the map.
    @usableFromInline
    struct Extent: Sendable {
        @usableFromInline let start: UInt64
        @usableFromInline let end: UInt64
        @usableFromInline let origin: UInt64

        @inlinable
        init(_ start: UInt64, _ end: UInt64, origin: UInt64) {
            self.start = start
            self.end = end
            self.origin = origin
        }

        /// The other pages, in the same map.
        @inlinable
        func part(_ start: UInt64, _ end: UInt64) -> Extent { Extent(start, end, origin: origin) }

        /// The pages of both, or `nil` where there is none.
        @inlinable
        func intersection(_ other: Extent) -> Extent? {
            let (low, high) = (max(start, other.start), min(end, other.end))
            return low < high ? part(low, high) : nil
        }
    }

    /// Pages in one state, cut at the ends of their leaf.
    @usableFromInline
    struct Piece {
        @usableFromInline let start: UInt64
        @usableFromInline let end: UInt64
        @usableFromInline let state: State

        @inlinable
        init(_ start: UInt64, _ end: UInt64, _ state: State) {
            self.start = start
            self.end = end
            self.state = state
        }
    }

    /// The levels below this one; 0 for a leaf.
    @usableFromInline var height: Int
    /// The first page of each child, or of each run of a list.
    @usableFromInline var starts: [UInt64]
    /// The state of each run of a list.
    @usableFromInline var states: [State]
    /// The codes of a window: slots of `counts`.
    @usableFromInline var codes: PageCodes?
    @usableFromInline var children: [PageRunTree]
    /// How many of the pages are in which state.
    @usableFromInline var counts: StateCounts<State>

    /// Pages in one state.
    @inlinable
    init(_ extent: Extent, _ state: State, height: Int = 0) {
        self.height = height
        starts = [extent.start]
        states = height == 0 ? [state] : []
        children = height == 0 ? [] : [PageRunTree(extent, state, height: height - 1)]
        counts = StateCounts(state, extent.end - extent.start)
    }

    /// Runs one after the other, the first from the first page on.
    @inlinable
    init(_ extent: Extent, runs starts: [UInt64], _ states: [State]) {
        height = 0
        self.starts = starts
        self.states = states
        children = []
        counts = StateCounts(states[0], 0)
        recount(extent)
    }

    /// Trees of the same height one after the other.
    @inlinable
    init(_ children: [PageRunTree], from starts: [UInt64]) {
        height = children[0].height + 1
        self.starts = starts
        states = []
        self.children = children
        counts = children[0].counts
        for child in children.dropFirst() { counts.add(child.counts) }
    }

    // MARK: Looking

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

    /// The pages of a child, or of a run of a list.
    @inlinable
    func extent(of index: Int, _ extent: Extent) -> Extent {
        extent.part(starts[index], index + 1 < starts.count ? starts[index + 1] : extent.end)
    }

    @inlinable
    func state(of page: UInt64, _ first: UInt64) -> State {
        if let codes { return counts.states[codes[Int(page - first)]] }
        let index = PageRunTree.lastIndex(in: starts, notAfter: page)
        return height == 0 ? states[index] : children[index].state(of: page, starts[index])
    }

    /// The pages around `page` that are in one leaf and in one state.
    @inlinable
    func piece(at page: UInt64, _ extent: Extent) -> Piece {
        #if DEBUG
            if height == 0 { PieceCounter.add() }
        #endif
        if let codes {
            let index = Int(page - extent.start)
            let start = extent.start + UInt64(codes.start(ofRunAt: index))
            let end = extent.start + UInt64(codes.end(ofRunAt: index))
            return Piece(start, end, counts.states[codes[index]])
        }
        let index = PageRunTree.lastIndex(in: starts, notAfter: page)
        let part = self.extent(of: index, extent)
        return height == 0 ? Piece(part.start, part.end, states[index]) : children[index].piece(at: page, part)
    }

    /// The leaf with `page`.
    @inlinable
    func leaf(with page: UInt64, _ extent: Extent) -> (leaf: PageRunTree, extent: Extent) {
        guard height > 0 else { return (self, extent) }
        let index = PageRunTree.lastIndex(in: starts, notAfter: page)
        return children[index].leaf(with: page, self.extent(of: index, extent))
    }

    /// The slots whose states count, as bits.
    @inlinable
    func slots(where isCounted: (State) -> Bool) -> Int {
        var slots = 0
        for slot in 0..<4 where counts.pages[slot] > 0 && isCounted(counts.states[slot]) { slots |= 1 << slot }
        return slots
    }

    /// The number of pages of `range` in states that count.
    @inlinable
    func pageCount(in range: Extent, _ extent: Extent, where isCounted: (State) -> Bool) -> UInt64 {
        guard let range = range.intersection(extent) else { return 0 }
        if counts.isComplete, range.start == extent.start, range.end == extent.end {
            return counts.pageCount(where: isCounted)
        }
        if let codes {
            let pages = Int(range.start - extent.start)..<Int(range.end - extent.start)
            return codes.pageCount(in: pages, of: slots(where: isCounted))
        }
        var count: UInt64 = 0
        var index = PageRunTree.lastIndex(in: starts, notAfter: range.start)
        while index < starts.count, starts[index] < range.end {
            let part = self.extent(of: index, extent)
            if height > 0 {
                count += children[index].pageCount(in: range, part, where: isCounted)
            } else if let met = part.intersection(range), isCounted(states[index]) {
                count += met.end - met.start
            }
            index += 1
        }
        return count
    }

    /// The first page of `range` in a state that counts with `skipped` such pages before it, which are counted down.
    @inlinable
    func firstPage(
        in range: Extent,
        after skipped: inout UInt64,
        _ extent: Extent,
        where isCounted: (State) -> Bool
    ) -> UInt64? {
        guard let range = range.intersection(extent) else { return nil }
        if counts.isComplete, range.start == extent.start, range.end == extent.end {
            let count = counts.pageCount(where: isCounted)
            guard count > skipped else {
                skipped -= count
                return nil
            }
        }
        if let codes {
            let pages = Int(range.start - extent.start)..<Int(range.end - extent.start)
            let page = codes.firstPage(in: pages, of: slots(where: isCounted), after: &skipped)
            return page.map { extent.start + UInt64($0) }
        }
        var index = PageRunTree.lastIndex(in: starts, notAfter: range.start)
        while index < starts.count, starts[index] < range.end {
            let part = self.extent(of: index, extent)
            if height > 0 {
                let found = children[index].firstPage(in: range, after: &skipped, part, where: isCounted)
                if let found { return found }
            } else if let met = part.intersection(range), isCounted(states[index]) {
                guard met.end - met.start <= skipped else {
                    defer { skipped = 0 }
                    return met.start + skipped
                }
                skipped -= met.end - met.start
            }
            index += 1
        }
        return nil
    }

    /// Calls `body` with each leaf.
    @inlinable
    func forEachLeaf(_ extent: Extent, _ body: (PageRunTree, Extent) -> Void) {
        guard height > 0 else { return body(self, extent) }
        for index in children.indices { children[index].forEachLeaf(self.extent(of: index, extent), body) }
    }

    /// The number of runs of a leaf.
    @inlinable
    var runCount: Int { codes?.runCount ?? starts.count }

    // MARK: Changing

    /// Puts pages of this tree into a state. It may be too full or too empty then: ``tidy(_:_:)`` of its parent mends
    /// that.
    @inlinable
    mutating func set(_ range: Extent, to state: State, _ extent: Extent) {
        if range.start == extent.start, range.end == extent.end {
            self = PageRunTree(extent, state, height: height)
        } else if height > 0 {
            setChildren(range, state, extent)
        } else if codes != nil {
            setCodes(range, state, extent)
        } else {
            setRuns(range, state, extent)
        }
    }

    @inlinable
    mutating func setChildren(_ range: Extent, _ state: State, _ extent: Extent) {
        let first = PageRunTree.lastIndex(in: starts, notAfter: range.start)
        let last = PageRunTree.lastIndex(in: starts, notAfter: range.end - 1)
        if first == last {
            setChild(first, range, state, extent)
        } else {
            var (lower, upper) = (first, last + 1)
            if self.extent(of: last, extent).end > range.end {
                setChild(last, range, state, extent)
                upper = last
            }
            if starts[first] < range.start {
                setChild(first, range, state, extent)
                lower = first + 1
            }
            // Children all of whose pages change become one, however many there were.
            if lower < upper { replaceChildren(lower..<upper, state, extent) }
        }
        tidy(max(0, first - 1)..<min(children.count, first + 3), extent)
    }

    @inlinable
    mutating func setChild(_ index: Int, _ range: Extent, _ state: State, _ extent: Extent) {
        let part = self.extent(of: index, extent)
        guard let met = range.intersection(part) else { return }
        counts.remove(children[index].counts)
        children[index].set(met, to: state, part)
        counts.add(children[index].counts)
    }

    @inlinable
    mutating func replaceChildren(_ indices: Range<Int>, _ state: State, _ extent: Extent) {
        for index in indices { counts.remove(children[index].counts) }
        let end = self.extent(of: indices.upperBound - 1, extent).end
        let whole = PageRunTree(extent.part(starts[indices.lowerBound], end), state, height: height - 1)
        counts.add(whole.counts)
        children.replaceSubrange(indices, with: CollectionOfOne(whole))
        starts.removeSubrange((indices.lowerBound + 1)..<indices.upperBound)
    }

    @inlinable
    mutating func setCodes(_ range: Extent, _ state: State, _ extent: Extent) {
        let pages = Int(range.start - extent.start)..<Int(range.end - extent.start)
        for slot in 0..<4 where counts.pages[slot] > 0 {
            counts.remove(counts.states[slot], codes?.pageCount(in: pages, of: 1 << slot) ?? 0)
        }
        guard let slot = counts.add(state, range.end - range.start) else {
            makeList(extent)
            return setRuns(range, state, extent)
        }
        codes?.set(pages, to: slot)
        if runCount <= PageRunTree.fewRuns { makeList(extent) }
    }

    @inlinable
    mutating func setRuns(_ range: Extent, _ state: State, _ extent: Extent) {
        var first = PageRunTree.lastIndex(in: starts, notAfter: range.start)
        var last = first
        while true {
            let run = self.extent(of: last, extent)
            if let met = run.intersection(range) { counts.remove(states[last], met.end - met.start) }
            guard run.end < range.end else { break }
            last += 1
        }
        counts.add(state, range.end - range.start)

        // The runs that take the place of those from `first` to `last`: what stays of the first, the new run, what
        // stays of the last. A neighbour in the new state is drawn into the new run.
        var head: (start: UInt64, state: State)?
        var start = range.start
        if starts[first] < start {
            if states[first] == state { start = starts[first] } else { head = (starts[first], states[first]) }
        } else if first > 0, states[first - 1] == state {
            first -= 1
            start = starts[first]
        }
        var tail: (start: UInt64, state: State)?
        if self.extent(of: last, extent).end > range.end {
            if states[last] != state { tail = (range.end, states[last]) }
        } else if last + 1 < starts.count, states[last + 1] == state {
            last += 1
        }

        var gap = first..<(last + 1)
        if let head { fill(&gap, head.start, head.state) }
        fill(&gap, start, state)
        if let tail { fill(&gap, tail.start, tail.state) }
        if gap.isEmpty { return }
        starts.removeSubrange(gap)
        states.removeSubrange(gap)
    }

    /// Puts a run into the first place of a gap, or where the gap was if it has none left, and goes on behind it.
    @inlinable
    mutating func fill(_ gap: inout Range<Int>, _ start: UInt64, _ state: State) {
        let index = gap.lowerBound
        if gap.isEmpty {
            starts.insert(start, at: index)
            states.insert(state, at: index)
            gap = (index + 1)..<(index + 1)
        } else {
            starts[index] = start
            states[index] = state
            gap = (index + 1)..<gap.upperBound
        }
    }

    // MARK: The shape

    /// Counts the pages of a list anew.
    @inlinable
    mutating func recount(_ extent: Extent) {
        counts = StateCounts(states[0], 0)
        for index in starts.indices {
            let run = self.extent(of: index, extent)
            guard counts.add(states[index], run.end - run.start) != nil else { return }
        }
    }

    /// Makes a list of a window.
    @inlinable
    mutating func makeList(_ extent: Extent) {
        guard let codes else { return }
        starts = []
        states = []
        var page = 0
        while page < codes.count {
            starts.append(extent.start + UInt64(page))
            states.append(counts.states[codes[page]])
            page = codes.end(ofRunAt: page)
        }
        self.codes = nil
        recount(extent)
    }

    /// Makes a window of a list of runs in up to four states.
    @inlinable
    mutating func makeWindow(_ extent: Extent) {
        recount(extent)
        guard counts.isComplete else { return }
        var codes = PageCodes(count: Int(extent.end - extent.start))
        for index in starts.indices {
            let run = self.extent(of: index, extent)
            guard let slot = counts.slot(of: states[index]) else { return }
            codes.set(Int(run.start - extent.start)..<Int(run.end - extent.start), to: slot)
        }
        self.codes = codes
        starts = []
        states = []
    }

    @inlinable
    var isOverfull: Bool {
        height > 0 ? children.count > PageRunTree.childCapacity : starts.count > PageRunTree.runCapacity
    }

    @inlinable
    var isSmall: Bool {
        height > 0 ? children.count < PageRunTree.fewChildren : codes == nil && starts.count <= PageRunTree.fewRuns
    }

    /// What an overfull tree is split into: trees of its height. What is no larger than a window stays one.
    @inlinable
    func parts(_ extent: Extent) -> [(start: UInt64, tree: PageRunTree)] {
        guard isOverfull else { return [(extent.start, self)] }
        let middle = starts.count / 2
        if height > 0 {
            return [
                (starts[0], PageRunTree(Array(children[..<middle]), from: Array(starts[..<middle]))),
                (starts[middle], PageRunTree(Array(children[middle...]), from: Array(starts[middle...]))),
            ]
        }
        let window = PageRunTree.windowPages
        let below = extent.origin + (starts[middle] - extent.origin) / window * window
        var cut: (page: UInt64, index: Int)?
        for page in [below, below + window] where page > extent.start && page < extent.end {
            let index = PageRunTree.lastIndex(in: starts, notAfter: page - 1) + 1
            if let other = cut, abs(other.index - middle) <= abs(index - middle) { continue }
            cut = (page, index)
        }
        guard let cut else {
            var whole = self
            whole.makeWindow(extent)
            return [(extent.start, whole)]
        }
        let (left, right) = (extent.part(extent.start, cut.page), extent.part(cut.page, extent.end))
        let isCut = cut.index == starts.count || starts[cut.index] > cut.page
        let first = PageRunTree(left, runs: Array(starts[..<cut.index]), Array(states[..<cut.index]))
        let second = PageRunTree(
            right,
            runs: (isCut ? [cut.page] : []) + starts[cut.index...],
            (isCut ? [states[cut.index - 1]] : []) + states[cut.index...]
        )
        return first.parts(left) + second.parts(right)
    }

    /// Splits the children among some that have become too full, and joins those that have become small.
    @inlinable
    mutating func tidy(_ indices: Range<Int>, _ extent: Extent) {
        var upper = indices.upperBound
        for index in indices.reversed() where children[index].isOverfull {
            let parts = children[index].parts(self.extent(of: index, extent))
            starts.replaceSubrange(index...index, with: parts.map(\.start))
            children.replaceSubrange(index...index, with: parts.map(\.tree))
            upper += parts.count - 1
        }
        var index = indices.lowerBound
        while index < upper, index + 1 < children.count {
            if children[index].isSmall || children[index + 1].isSmall, join(index, extent) {
                upper -= 1
            } else {
                index += 1
            }
        }
    }

    /// Joins a child to the next one, where one of them is small.
    ///
    /// - Returns: whether there is a child less.
    @inlinable
    mutating func join(_ index: Int, _ extent: Extent) -> Bool {
        if height == 1 {
            guard children[index].codes == nil, children[index + 1].codes == nil,
                children[index].starts.count + children[index + 1].starts.count <= PageRunTree.runCapacity / 2
            else { return false }
        }
        let next = children.remove(at: index + 1)
        starts.remove(at: index + 1)
        let joint = self.extent(of: index, extent)
        children[index].append(next, joint)
        guard children[index].isOverfull else { return true }
        let parts = children[index].parts(joint)
        starts.replaceSubrange(index...index, with: parts.map(\.start))
        children.replaceSubrange(index...index, with: parts.map(\.tree))
        return false
    }

    /// Takes in what follows.
    @inlinable
    mutating func append(_ next: PageRunTree, _ extent: Extent) {
        let seam = starts.count
        let isRunContinued = height == 0 && states[seam - 1] == next.states[0]
        counts.add(next.counts)
        starts += next.starts.dropFirst(isRunContinued ? 1 : 0)
        states += next.states.dropFirst(isRunContinued ? 1 : 0)
        children += next.children
        if height > 0 { tidy((seam - 1)..<min(seam + 1, children.count), extent) }
    }

    /// The bytes of memory that the tree takes beside its own value.
    @usableFromInline
    package var byteCount: Int {
        func size<T>(_ array: [T]) -> Int {
            // An array's elements lie behind a header of 32 bytes.
            array.capacity == 0 ? 0 : 32 + array.capacity * MemoryLayout<T>.stride
        }
        return children.reduce(
            size(starts) + size(states) + size(children) + (codes.map { size($0.words) } ?? 0)
        ) { $0 + $1.byteCount }
    }
}
