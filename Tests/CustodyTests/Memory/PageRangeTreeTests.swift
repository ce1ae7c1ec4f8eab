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

    /// An order of insertion: as the pages ascend, descend, come from both ends, or by chance; and the one that makes a
    /// chain of a tree that is balanced by a hash of how many came before.
    enum Order: String, CaseIterable {
        case ascending, descending, fromBothEnds, shuffled, chosen

        func pages(_ count: Int, _ random: inout SplitMix64) -> [UInt64] {
            let pages = (0..<count).map { UInt64($0) }
            switch self {
            case .ascending: return pages
            case .descending: return pages.reversed()
            case .fromBothEnds: return pages.map { $0 % 2 == 0 ? $0 / 2 : UInt64(count - 1) - $0 / 2 }
            case .shuffled: return pages.shuffled(using: &random)
            case .chosen:
                func hash(_ number: UInt64) -> UInt64 {
                    var hash = (number ^ (number >> 30)) &* 0xbf58_476d_1ce4_e5b9
                    hash = (hash ^ (hash >> 27)) &* 0x94d0_49bb_1331_11eb
                    return hash ^ (hash >> 31)
                }
                let ranks = pages.sorted { hash($0 + 1) < hash($1 + 1) }
                var order = [UInt64](repeating: 0, count: count)
                for (rank, number) in ranks.enumerated() { order[Int(number)] = UInt64(rank) }
                return order
            }
        }
    }

    /// However many there are, and in whatever order they came and go: a few for each level of a tree of few levels.
    @Test(arguments: Order.allCases)
    func looksAtFew(order: Order) throws {
        var (random, note) = Seed.generator("PageRangeTree steps")
        for (count, levels) in [(1 << 10, 4), (1 << 14, 5)] {
            var tree = PageRangeTree()
            func range(_ page: UInt64) throws -> PageRange { try PageRange(pages: (page * 4)..<(page * 4 + 2)) }
            for page in order.pages(count, &random) { tree.insert(try range(page), page) }
            try #require(tree.height <= levels, "\(note): \(tree.height) levels for \(count)")
            var most = 0
            for _ in 0..<1_000 {
                let page = random.next(upperBound: UInt64(count)) * 4 + random.next(upperBound: 4 as UInt64)
                var found = 0
                most = max(most, tree.forEach(meeting: try PageRange(pages: page..<(page + 1))) { _ in found += 1 })
                try #require(found == (page % 4 < 2 ? 1 : 0), "\(note)")
            }
            #expect(most <= 33 * levels, "\(note): \(most) of \(count)")
            // They go in another order than they came, and the tree shrinks.
            for page in 0..<UInt64(count) where page % 64 != 0 { tree.remove(try range(page), page) }
            #expect(tree.height <= 3, "\(note): \(tree.height) levels for \(count / 64)")
            var left: [UInt64] = []
            tree.forEach(meeting: try PageRange(pages: 0..<UInt64(count * 4))) { left.append($0) }
            #expect(left == (0..<UInt64(count)).filter { $0 % 64 == 0 }, "\(note)")
        }
    }
}
