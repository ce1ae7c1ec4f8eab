/// A map from every page of a range to a state, as maximal runs of equal states.
///
/// The map is total: each page of ``bounds`` has a state, and two neighbouring runs never have the same one, so equal
/// maps have equal runs. A copy costs nothing; the first change of either copies a path of O(log *n*) nodes, never all.
///
/// Where there are few runs, each costs some 20 bytes: a map with one state for a terabyte is one run. Where there are
/// many, in windows of 8 192 pages with up to four different states, a page costs two bits, or one with up to two states,
/// and a quarter of that for the tree. With more than four states in a window a run costs its bytes however many there are.
public struct PageRunMap<State: Equatable & Sendable>: Sendable {
    /// The pages that have a state.
    public let bounds: PageRange

    @usableFromInline var root: PageRunTree<State>

    /// The number of runs.
    ///
    /// - Complexity: O(*n* / 24) in the number of runs.
    @inlinable
    public var runCount: Int {
        var count = 0
        var last: State?
        root.forEachLeaf(extent) { leaf, part in
            count += leaf.runCount - (last == leaf.state(of: part.start, part.start) ? 1 : 0)
            last = leaf.state(of: part.end - 1, part.start)
        }
        return count
    }

    /// A map of `bounds` with every page in `state`.
    @inlinable
    public init(bounds: PageRange, state: State) {
        self.bounds = bounds
        let start = bounds.start.rawValue
        root = PageRunTree(PageRunTree.Extent(start, bounds.end, origin: start), state)
    }

    /// The state of `page`, or `nil` outside the bounds.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    @inlinable
    public subscript(page: PageNumber) -> State? {
        bounds.contains(page) ? root.state(of: page.rawValue, bounds.start.rawValue) : nil
    }

    /// The maximal run that holds `page`, or `nil` outside the bounds.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    @inlinable
    public func run(containing page: PageNumber) -> PageRun<State>? {
        guard bounds.contains(page) else { return nil }
        let piece = root.piece(at: page.rawValue, extent)
        var (start, end) = (piece.start, piece.end)
        while start > bounds.start.rawValue {
            let before = root.piece(at: start - 1, extent)
            guard before.state == piece.state else { break }
            start = before.start
        }
        while end < bounds.end {
            let after = root.piece(at: end, extent)
            guard after.state == piece.state else { break }
            end = after.end
        }
        return PageRun(range: PageRange(uncheckedStart: start, count: end - start), state: piece.state)
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
        guard bounds.contains(range) else { return false }
        var page = range.start.rawValue
        while page < range.end {
            let piece = root.piece(at: page, extent)
            guard piece.state == state else { return false }
            page = piece.end
        }
        return true
    }

    /// The number of pages of `range` within the bounds whose state counts.
    ///
    /// - Complexity: O(log *n*) in the number of runs, with as many calls of `isCounted`. Where there are more than four
    ///   states, O(log *n* + *k*) for *k* runs in the range.
    @inlinable
    public func pageCount(in range: PageRange, where isCounted: (State) -> Bool) -> UInt64 {
        root.pageCount(in: extent.part(range.start.rawValue, range.end), extent, where: isCounted)
    }

    /// The first page of `range` whose state counts and before which `skipped` pages of the range count, or `nil` where
    /// there are not so many. Those that there are before it, or in the range, have been taken off `skipped` then.
    ///
    /// - Complexity: as ``pageCount(in:where:)``.
    @inlinable
    public func firstPage(
        in range: PageRange,
        after skipped: inout UInt64,
        where isCounted: (State) -> Bool
    ) -> PageNumber? {
        let range = extent.part(range.start.rawValue, range.end)
        return root.firstPage(in: range, after: &skipped, extent, where: isCounted).map { PageNumber($0) }
    }

    /// Puts every page of `range` that lies within the bounds into `state`.
    ///
    /// - Complexity: O(log *n*), and the release of what the *k* runs took that are replaced.
    @inlinable
    public mutating func set(_ range: PageRange, to state: State) {
        guard let range = range.intersection(bounds), !isUniform(range, state) else { return }
        root.set(extent.part(range.start.rawValue, range.end), to: state, extent)
        if root.isOverfull {
            let parts = root.parts(extent)
            root = parts.count == 1 ? parts[0].tree : PageRunTree(parts.map(\.tree), from: parts.map(\.start))
        }
        while root.height > 0, root.children.count == 1 { root = root.children[0] }
    }

    @inlinable
    var extent: PageRunTree<State>.Extent {
        PageRunTree.Extent(bounds.start.rawValue, bounds.end, origin: bounds.start.rawValue)
    }

    /// The bytes of memory that the map takes, shared with its copies.
    ///
    /// - Complexity: O(*n*).
    package var byteCount: Int { MemoryLayout<PageRunMap>.size + root.byteCount }

    /// The number of levels of its tree.
    package var height: Int { root.height + 1 }
}

extension PageRunMap {
    /// The runs of a map that meet a range, each cut to that range.
    public struct Runs: Sequence, IteratorProtocol, Sendable {
        @usableFromInline let map: PageRunMap
        @usableFromInline var rest: PageRange?
        /// The leaf with the last page looked at.
        @usableFromInline var leaf: PageRunTree<State>
        @usableFromInline var extent: PageRunTree<State>.Extent

        @inlinable
        init(map: PageRunMap, range: PageRange?) {
            self.map = map
            rest = range
            (leaf, extent) = map.root.leaf(with: (range ?? map.bounds).start.rawValue, map.extent)
        }

        /// The next run, or `nil` after the last.
        @inlinable
        public mutating func next() -> PageRun<State>? {
            guard let range = rest else { return nil }
            let start = range.start.rawValue
            let first = piece(at: start)
            var end = first.end
            while end < range.end {
                let next = piece(at: end)
                guard next.state == first.state else { break }
                end = next.end
            }
            if end > range.end { end = range.end }
            rest = range.suffix(from: PageNumber(end))
            return PageRun(range: PageRange(uncheckedStart: start, count: end - start), state: first.state)
        }

        @inlinable
        mutating func piece(at page: UInt64) -> PageRunTree<State>.Piece {
            if page < extent.start || page >= extent.end { (leaf, extent) = map.root.leaf(with: page, map.extent) }
            return leaf.piece(at: page, extent)
        }
    }
}

extension PageRunMap: Equatable {
    /// Whether both maps have the same bounds and the same state for every page.
    ///
    /// - Complexity: O(*n*) in the number of runs.
    @inlinable
    public static func == (left: PageRunMap, right: PageRunMap) -> Bool {
        left.bounds == right.bounds && left.runs.elementsEqual(right.runs)
    }
}
