/// Ranges of pages with a number each, found by the pages that they meet: a search tree by first page that knows the last
/// page of each of its parts (Cormen et al., *Introduction to Algorithms*, 17.3).
///
/// It is balanced by chance (Aragon and Seidel, *Randomized search trees*): a node's height is a hash of how many there
/// have been before it, which nobody chooses. Nodes lie in one array and are used again, so that a tree that does not grow
/// allocates nothing.
package struct PageRangeTree: Sendable {
    private struct Node {
        let start: UInt64
        let end: UInt64
        let id: UInt64
        let height: UInt64
        /// The largest end below here.
        var lastEnd: UInt64
        var left = -1
        var right = -1

        func isBefore(_ start: UInt64, _ id: UInt64) -> Bool { (self.start, self.id) < (start, id) }
    }

    private var nodes: [Node] = []
    private var free: [Int] = []
    private var root = -1
    private var inserted: UInt64 = 0

    /// An empty tree.
    package init() {}

    /// Adds a range with a number that no other with the same first page has.
    ///
    /// - Complexity: O(log *n*), expected.
    package mutating func insert(_ range: PageRange, _ id: UInt64) {
        inserted &+= 1
        var height = (inserted ^ (inserted >> 30)) &* 0xbf58_476d_1ce4_e5b9
        height = (height ^ (height >> 27)) &* 0x94d0_49bb_1331_11eb
        let node = Node(
            start: range.start.rawValue,
            end: range.end,
            id: id,
            height: height ^ (height >> 31),
            lastEnd: range.end
        )
        let index: Int
        if let last = free.popLast() {
            index = last
            nodes[index] = node
        } else {
            index = nodes.count
            nodes.append(node)
        }
        root = insert(index, under: root)
    }

    /// Removes the range of a number.
    ///
    /// - Complexity: O(log *n*), expected.
    package mutating func remove(_ range: PageRange, _ id: UInt64) {
        root = remove(range.start.rawValue, id, under: root)
    }

    /// The first page of `range` that is in one of the ranges.
    ///
    /// - Complexity: O(log *n*), expected.
    package func firstPage(in range: PageRange) -> PageNumber? {
        var index = root
        while index >= 0, nodes[index].lastEnd > range.start.rawValue {
            let node = nodes[index]
            // Where something to the left reaches far enough, it begins early enough as well, or nothing here does.
            if node.left >= 0, nodes[node.left].lastEnd > range.start.rawValue {
                index = node.left
            } else if node.start >= range.end {
                return nil
            } else if node.end > range.start.rawValue {
                return PageNumber(max(node.start, range.start.rawValue))
            } else {
                index = node.right
            }
        }
        return nil
    }

    /// Calls `body` with the number of each range that meets `range`, by first page and then by number.
    ///
    /// - Returns: how many nodes were looked at.
    /// - Complexity: O(log *n* + *k*) for *k* calls, expected.
    @discardableResult
    package func forEach(meeting range: PageRange, _ body: (UInt64) -> Void) -> Int { visit(root, range, body) }

    private func visit(_ index: Int, _ range: PageRange, _ body: (UInt64) -> Void) -> Int {
        guard index >= 0 else { return 0 }
        guard nodes[index].lastEnd > range.start.rawValue else { return 1 }
        let before = visit(nodes[index].left, range, body)
        guard nodes[index].start < range.end else { return before + 1 }
        if nodes[index].end > range.start.rawValue { body(nodes[index].id) }
        return before + 1 + visit(nodes[index].right, range, body)
    }

    // MARK: The shape

    private mutating func update(_ index: Int) {
        var last = nodes[index].end
        if nodes[index].left >= 0 { last = max(last, nodes[nodes[index].left].lastEnd) }
        if nodes[index].right >= 0 { last = max(last, nodes[nodes[index].right].lastEnd) }
        nodes[index].lastEnd = last
    }

    private mutating func insert(_ new: Int, under index: Int) -> Int {
        guard index >= 0 else { return new }
        if nodes[new].height > nodes[index].height {
            let parts = split(index, nodes[new].start, nodes[new].id)
            nodes[new].left = parts.before
            nodes[new].right = parts.after
            update(new)
            return new
        }
        if nodes[index].isBefore(nodes[new].start, nodes[new].id) {
            nodes[index].right = insert(new, under: nodes[index].right)
        } else {
            nodes[index].left = insert(new, under: nodes[index].left)
        }
        update(index)
        return index
    }

    private mutating func split(_ index: Int, _ start: UInt64, _ id: UInt64) -> (before: Int, after: Int) {
        guard index >= 0 else { return (-1, -1) }
        if nodes[index].isBefore(start, id) {
            let parts = split(nodes[index].right, start, id)
            nodes[index].right = parts.before
            update(index)
            return (index, parts.after)
        }
        let parts = split(nodes[index].left, start, id)
        nodes[index].left = parts.after
        update(index)
        return (parts.before, index)
    }

    private mutating func remove(_ start: UInt64, _ id: UInt64, under index: Int) -> Int {
        guard index >= 0 else { return -1 }
        if nodes[index].id == id, nodes[index].start == start {
            free.append(index)
            return join(nodes[index].left, nodes[index].right)
        }
        if nodes[index].isBefore(start, id) {
            nodes[index].right = remove(start, id, under: nodes[index].right)
        } else {
            nodes[index].left = remove(start, id, under: nodes[index].left)
        }
        update(index)
        return index
    }

    private mutating func join(_ before: Int, _ after: Int) -> Int {
        guard before >= 0 else { return after }
        guard after >= 0 else { return before }
        if nodes[before].height > nodes[after].height {
            nodes[before].right = join(nodes[before].right, after)
            update(before)
            return before
        }
        nodes[after].left = join(before, nodes[after].left)
        update(after)
        return after
    }
}
