/// Ranges of pages with a number each, found by the pages that they meet.
///
/// A B-tree by first page and number that knows the last page of each of its parts (Cormen et al., *Introduction to
/// Algorithms*, 17.3 and 18). All leaves are at one depth, and all nodes but the root are a quarter full or more: no choice
/// of pages gives it another shape, and 2³² ranges are no deeper than eleven levels. A copy costs nothing; the first
/// change after it copies a path. A tree that does not grow allocates nothing.
package struct PageRangeTree: Sendable {
    /// The largest number of ranges in a leaf, and of children of a node.
    private static let capacity = 32
    /// The smallest number, but for the root.
    private static let least = 8

    /// A range with its number; ranges are ordered by first page and then by number.
    private struct Item: Sendable {
        let start: UInt64
        let end: UInt64
        let id: UInt64

        func isBefore(_ start: UInt64, _ id: UInt64) -> Bool { (self.start, self.id) < (start, id) }
    }

    private struct Node: Sendable {
        /// The ranges of a leaf, in order.
        var items: [Item] = []
        /// The parts of another node, in order.
        var children: [Node] = []
        /// The first range.
        var first: Item
        /// The largest end.
        var lastEnd: UInt64

        init(_ items: [Item]) {
            self.items = items
            first = items[0]
            lastEnd = 0
            update()
        }

        init(_ children: [Node]) {
            self.children = children
            first = children[0].first
            lastEnd = 0
            update()
        }

        var isLeaf: Bool { children.isEmpty }
        var count: Int { isLeaf ? items.count : children.count }
        var height: Int { isLeaf ? 1 : 1 + children[0].height }

        mutating func update() {
            lastEnd = 0
            for item in items { lastEnd = max(lastEnd, item.end) }
            for child in children { lastEnd = max(lastEnd, child.lastEnd) }
            if let item = items.first ?? children.first?.first { first = item }
        }

        /// The index of the first of the ranges that is not before the one named.
        func index(of start: UInt64, _ id: UInt64) -> Int {
            var (low, high) = (0, items.count)
            while low < high {
                let middle = (low + high) / 2
                if items[middle].isBefore(start, id) { low = middle + 1 } else { high = middle }
            }
            return low
        }

        /// The index of the child in which the one named is, or has its place.
        func childIndex(of start: UInt64, _ id: UInt64) -> Int {
            var (low, high) = (0, children.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                let first = children[middle].first
                if (start, id) < (first.start, first.id) { high = middle } else { low = middle }
            }
            return low
        }

        mutating func insert(_ item: Item) {
            if isLeaf {
                items.insert(item, at: index(of: item.start, item.id))
                first = items[0]
            } else {
                let index = childIndex(of: item.start, item.id)
                children[index].insert(item)
                first = children[0].first
                if children[index].count > capacity { children.insert(children[index].split(), at: index + 1) }
            }
            lastEnd = max(lastEnd, item.end)
        }

        /// Removes a range. What becomes of a node that has too few then is its parent's to say.
        mutating func remove(_ start: UInt64, _ id: UInt64) {
            if isLeaf {
                let index = index(of: start, id)
                guard index < items.count, items[index].start == start, items[index].id == id else { return }
                items.remove(at: index)
            } else {
                let index = childIndex(of: start, id)
                children[index].remove(start, id)
                if children[index].count < least, children.count > 1 {
                    join(index + 1 < children.count ? index : index - 1)
                }
            }
            update()
        }

        /// Joins a child to the next one; if that is too much for one, both are as full as each other.
        private mutating func join(_ index: Int) {
            let next = children.remove(at: index + 1)
            children[index].items += next.items
            children[index].children += next.children
            children[index].update()
            if children[index].count > capacity { children.insert(children[index].split(), at: index + 1) }
        }

        /// Gives the second half away.
        mutating func split() -> Node {
            let middle = count / 2
            let half = isLeaf ? Node(Array(items[middle...])) : Node(Array(children[middle...]))
            if isLeaf { items.removeSubrange(middle...) } else { children.removeSubrange(middle...) }
            update()
            return half
        }

        func firstPage(in range: PageRange) -> PageNumber? {
            if isLeaf {
                guard let item = items.first(where: { $0.end > range.start.rawValue }), item.start < range.end else {
                    return nil
                }
                return PageNumber(max(item.start, range.start.rawValue))
            }
            // Of the ranges that reach the first page asked for, or a later one, the first begins first.
            return children.first { $0.lastEnd > range.start.rawValue }?.firstPage(in: range)
        }

        func forEach(meeting range: PageRange, _ body: (UInt64) -> Void) -> Int {
            var looked = 0
            for item in items {
                looked += 1
                guard item.start < range.end else { break }
                if item.end > range.start.rawValue { body(item.id) }
            }
            for child in children {
                looked += 1
                guard child.first.start < range.end else { break }
                if child.lastEnd > range.start.rawValue { looked += child.forEach(meeting: range, body) }
            }
            return looked
        }
    }

    private var root: Node?

    /// An empty tree.
    package init() {}

    /// The number of levels.
    package var height: Int { root?.height ?? 0 }

    /// Adds a range with a number that no other with the same first page has.
    ///
    /// - Complexity: O(log *n*).
    package mutating func insert(_ range: PageRange, _ id: UInt64) {
        let item = Item(start: range.start.rawValue, end: range.end, id: id)
        guard root != nil else {
            root = Node([item])
            return
        }
        root?.insert(item)
        guard let count = root?.count, count > PageRangeTree.capacity, let half = root?.split(), let rest = root else {
            return
        }
        root = Node([rest, half])
    }

    /// Removes the range of a number.
    ///
    /// - Complexity: O(log *n*).
    package mutating func remove(_ range: PageRange, _ id: UInt64) {
        root?.remove(range.start.rawValue, id)
        while let node = root, !node.isLeaf, node.count == 1 { root = node.children[0] }
    }

    /// The first page of `range` that is in one of the ranges.
    ///
    /// - Complexity: O(log *n*).
    package func firstPage(in range: PageRange) -> PageNumber? { root?.firstPage(in: range) }

    /// Calls `body` with the number of each range that meets `range`, by first page and then by number.
    ///
    /// - Returns: how many ranges and nodes were looked at.
    /// - Complexity: O(log *n* + *k*) for *k* calls.
    @discardableResult
    package func forEach(meeting range: PageRange, _ body: (UInt64) -> Void) -> Int {
        root?.forEach(meeting: range, body) ?? 0
    }
}
