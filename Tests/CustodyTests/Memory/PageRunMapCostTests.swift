import Custody
import CustodyTestSupport
import Testing

/// What a map takes and looks at, at *n* pages and at sixteen times as many.
@Suite struct PageRunMapCostTests {
    private static let few: UInt64 = 1 << 14
    private static let many: UInt64 = 16 * few

    private func map<State>(_ pages: UInt64, _ state: State) throws -> PageRunMap<State> {
        PageRunMap(bounds: try PageRange(pages: 0..<pages), state: state)
    }

    /// Every other page, in steps from one to the whole: at each fragmentation no more than a quarter over two bits a
    /// page, and no more than the runs would take by themselves.
    @Test(arguments: [few, many])
    func bytesStayWithinTheBudgetWhileItFragments(pages: UInt64) throws {
        var map = try map(pages, Ownership.shared)
        #expect(map.byteCount < 512)
        var stride = pages / 2
        while stride >= 2 {
            for page in Swift.stride(from: stride / 2, to: pages, by: Int(stride)) {
                map.set(try PageRange(PageNumber(page)), to: .private)
            }
            let runs = 2 * Int(pages / stride)
            let budget = min(Double(pages) * 0.25 * 1.25, 26 * Double(runs)) + 1024
            #expect(Double(map.byteCount) <= budget, "every \(stride) pages")
            stride /= 2
        }
    }

    /// What has been fragmented and is whole again takes next to nothing, whichever pages come back first.
    @Test(arguments: [1, 3] as [UInt64]) func bytesGoWithTheFragments(step: UInt64) throws {
        var map = try map(Self.few, Ownership.shared)
        for page in stride(from: 1, to: Self.few, by: 2) { map.set(try PageRange(PageNumber(page)), to: .private) }
        #expect(map.byteCount > Int(Self.few / 8))
        for first in 0..<step {
            for page in stride(from: 1 + 2 * first, to: Self.few, by: Int(2 * step)) {
                map.set(try PageRange(PageNumber(page)), to: .shared)
            }
        }
        #expect(map.runCount == 1 && map.byteCount < 2048, "\(map.byteCount) bytes")
    }

    /// All four states by chance, and two of them.
    @Test(arguments: [(few, 4), (many, 4), (few, 2), (many, 2)] as [(UInt64, UInt64)])
    func bytesOfRandomStates(pages: UInt64, states: UInt64) throws {
        var (random, note) = Seed.generator("random states")
        var map = try map(pages, Ownership.shared)
        for page in 0..<pages {
            let state = Ownership.allCases[Int(random.next(upperBound: states))]
            map.set(try PageRange(PageNumber(page)), to: state)
        }
        // Two states take one bit a page.
        let bits: Double = states > 2 ? 2 : 1
        #expect(Double(map.byteCount) <= Double(pages) * bits / 8 * 1.25 + 1024, "\(note): \(map.byteCount)")
    }

    @Test func aBoolTakesABit() throws {
        var map = try map(Self.many, false)
        for page in stride(from: 0, to: Self.many, by: 2) { map.set(try PageRange(PageNumber(page)), to: true) }
        #expect(Double(map.byteCount) <= Double(Self.many) / 8 * 1.25)
    }

    /// Runs that are far apart cost some bytes each, and a map with one state next to nothing, also of all pages.
    @Test func bytesOfARun() throws {
        let all = try PageRange(pages: 0..<(PageNumber.last.rawValue + 1))
        var map = PageRunMap(bounds: all, state: Ownership.private)
        #expect(map.byteCount < 512)
        for index in 0..<UInt64(1 << 15) {
            map.set(try PageRange(pages: (index << 36)..<(index << 36 + 256)), to: .shared)
        }
        #expect(map.runCount == 1 << 16)
        #expect(map.byteCount <= 26 << 16)
        #expect(map.pageCount(in: all) { $0 == .shared } == 256 << 15)
        map.set(all, to: .host)
        #expect(map.byteCount < 1024 && map.height == 1)
    }

    /// A state that counts is asked for a few times for each level, however many runs there are.
    @Test func countsLookAtFew() throws {
        func calls(_ pages: UInt64) throws -> (count: Int, search: Int, height: Int) {
            var map = try map(pages, Ownership.shared)
            for page in stride(from: 1, to: pages, by: 2) { map.set(try PageRange(PageNumber(page)), to: .private) }
            let range = try PageRange(pages: 1..<(pages - 1))
            var (count, search) = (0, 0)
            let found = map.pageCount(in: range) {
                count += 1
                return $0 == .private
            }
            #expect(found == pages / 2 - 1)
            var skipped = pages / 2 - 2
            let last = map.firstPage(in: range, after: &skipped) {
                search += 1
                return $0 == .private
            }
            #expect(last == PageNumber(pages - 3) && skipped == 0)
            return (count, search, map.height)
        }
        let (few, many) = (try calls(Self.few), try calls(Self.many))
        // At most all children of the nodes at both ends, and four states for each.
        for (cost, pages) in [(few, Self.few), (many, Self.many)] {
            #expect(cost.count <= 2 * 32 * 4 * cost.height, "\(pages) runs")
            #expect(cost.search <= 2 * 32 * 4 * cost.height, "\(pages) runs")
        }
        #expect(many.height <= few.height + 1)
    }

    /// A state compares in place of its runs: what a look-up compares does not grow.
    @Test func lookUpsCompareFew() throws {
        func comparisons(_ pages: UInt64) throws -> Int {
            let counter = ComparisonCounter()
            var map = try map(pages, CountedState(value: 0, counter: counter))
            for page in stride(from: 1, to: pages, by: 2) {
                map.set(try PageRange(PageNumber(page)), to: CountedState(value: 1, counter: counter))
            }
            counter.reset()
            _ = map.run(containing: PageNumber(pages / 2))
            _ = map.isUniform(try PageRange(pages: 0..<pages), CountedState(value: 0, counter: counter))
            map.set(try PageRange(pages: 1..<(pages - 1)), to: CountedState(value: 1, counter: counter))
            return counter.count
        }
        let (few, many) = (try comparisons(Self.few), try comparisons(Self.many))
        #expect(many <= few + 600 && many < 3_000, "\(few) at \(Self.few) pages, \(many) at \(Self.many)")
    }
}

/// A state that counts how often it is compared.
private struct CountedState: Equatable, Sendable {
    let value: Int
    let counter: ComparisonCounter

    static func == (left: CountedState, right: CountedState) -> Bool {
        left.counter.increment()
        return left.value == right.value
    }
}
