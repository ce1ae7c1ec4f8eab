import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

/// The tree against a plain list, and how much of it is looked at.
@Suite struct PageRangeTreeTests {
    @Test func agreesWithAList() throws {
        var (random, note) = Seed.generator("PageRangeTree")
        var tree = PageRangeTree()
        var list: [(range: PageRange, id: UInt64)] = []
        func range() throws -> PageRange {
            try PageRange(start: PageNumber(random.next(upperBound: 200)), count: 1 + random.next(upperBound: 30))
        }
        for step in 0..<2_000 {
            if list.isEmpty || random.next(upperBound: 10 as UInt64) < (step % 400 < 200 ? 7 : 3) {
                // A number may have several ranges, but not two with the same first page.
                let (new, id) = (try range(), random.next(upperBound: 40 as UInt64))
                guard !list.contains(where: { $0.id == id && $0.range.start == new.start }) else { continue }
                tree.insert(new, id)
                list.append((new, id))
            } else {
                let gone = list.remove(at: Int(random.next(upperBound: UInt64(list.count))))
                tree.remove(gone.range, gone.id)
            }
            let asked = try range()
            let meeting = list.filter { $0.range.overlaps(asked) }
                .sorted { ($0.range.start, $0.id) < ($1.range.start, $1.id) }
            var found: [UInt64] = []
            tree.forEach(meeting: asked) { found.append($0) }
            try #require(found == meeting.map(\.id), "\(note), step \(step)")
            let first = meeting.map { max($0.range.start, asked.start) }.min()
            try #require(tree.firstPage(in: asked) == first, "\(note), step \(step)")
        }
    }

    /// However many there are, and in whatever order they came: a few for each level of the tree.
    @Test(arguments: ["ascending", "descending", "shuffled"])
    func looksAtFew(order: String) throws {
        var (random, note) = Seed.generator("PageRangeTree steps")
        let count = 1 << 14
        var pages = (0..<count).map { UInt64($0) }
        if order == "descending" { pages.reverse() }
        if order == "shuffled" { pages.shuffle(using: &random) }
        var tree = PageRangeTree()
        for page in pages { tree.insert(try PageRange(pages: (page * 4)..<(page * 4 + 2)), page) }
        var most = 0
        for _ in 0..<1_000 {
            let page = random.next(upperBound: UInt64(count)) * 4 + random.next(upperBound: 4 as UInt64)
            var found = 0
            most = max(most, tree.forEach(meeting: try PageRange(pages: page..<(page + 1))) { _ in found += 1 })
            try #require(found == (page % 4 < 2 ? 1 : 0), "\(note)")
        }
        // A tree of 2¹⁴ that is balanced by chance is some 35 levels high; of each at most the two children are looked at.
        #expect(most <= 160, "\(note): \(most) of \(count)")
    }
}
