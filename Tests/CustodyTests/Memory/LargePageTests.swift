import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

/// Cutting ranges so that large pages stay whole.
@Suite struct LargePageTests {
    private let large = PageSize.large.pages
    private let huge = PageSize.huge.pages

    @Test func alignedPieces() throws {
        let pieces = try PageRange(pages: (huge - large - 3)..<(2 * huge + large + 5)).alignedPieces
        #expect(pieces.map(\.size) == [.base, .large, .huge, .large, .base])
        #expect(pieces.map(\.range.count) == [3, large, huge, large, 5])
        #expect(try PageRange(pages: 1..<511).alignedPieces.map(\.size) == [.base])
        #expect(try PageRange(pages: 0..<large).alignedPieces.map(\.size) == [.large])
        #expect(try PageRange(pages: 1..<large).alignedPieces.map(\.size) == [.base])
    }

    /// The pieces are the range, each as large as its size says, and no two neighbours could be a larger one.
    @Test func piecesAreTheRange() throws {
        let seed = Seed.value()
        print("LargePages: CUSTODY_SEED=\(seed)")
        var random = SplitMix64(seed: seed)
        for _ in 0..<20_000 {
            let low = random.next(upperBound: UInt64(3 * huge))
            let count = 1 + random.next(upperBound: UInt64(1) << random.next(upperBound: UInt64(21)))
            let range = try PageRange(pages: low..<(low + count))
            let pieces = range.alignedPieces
            #expect(pieces.count <= 5)
            var page = low
            for (piece, size) in pieces {
                #expect(piece.start.rawValue == page && piece.isAligned(to: size))
                page = piece.end
            }
            #expect(page == low + count)
            for size in [PageSize.large, .huge] {
                let whole = (low + size.pages - 1) / size.pages * size.pages + size.pages <= low + count
                #expect(pieces.contains { $0.size >= size } == whole)
            }
        }
    }

    @Test func aCutKeepsLargePagesWhole() throws {
        let range = try PageRange(pages: 10..<(2 * huge))
        #expect(range.leading(atMost: 5).count == 5)
        #expect(range.leading(atMost: large).end == large)
        #expect(range.leading(atMost: 3 * large + 100).end == 3 * large)
        #expect(range.leading(atMost: huge + large + 7).end == huge)
        #expect(range.leading(atMost: .max) == range)
        #expect(range.leading(atMost: 0).count == 1, "there is always progress")
    }

    /// However little at a time a range is taken, the pieces are the range; and no large page is cut in two where as much as
    /// one may be taken, no huge one where as much as that.
    @Test func cutsByChanceAreTheRange() throws {
        var (random, note) = Seed.generator("cuts")
        func whole(_ range: PageRange, _ size: PageSize) -> UInt64 {
            let first = (range.start.rawValue + size.pages - 1) / size.pages
            return max(range.end / size.pages, first) - first
        }
        for _ in 0..<2_000 {
            let low = random.next(upperBound: UInt64(2 * huge))
            let range = try PageRange(start: PageNumber(low), count: 1 + random.next(upperBound: UInt64(3 * huge)))
            let most = range.count / 50 + 1 + random.next(upperBound: UInt64(1) << random.next(upperBound: UInt64(20)))
            var rest: PageRange? = range
            var pieces: [PageRange] = []
            while let left = rest {
                let piece = left.leading(atMost: most)
                try #require(piece.start == left.start && piece.count <= most && left.contains(piece), "\(note)")
                pieces.append(piece)
                rest = left.suffix(from: PageNumber(piece.end))
            }
            for size in [PageSize.large, .huge] where most >= size.pages {
                let kept = pieces.reduce(0) { $0 + whole($1, size) }
                #expect(kept == whole(range, size), "\(note): \(range), \(most) at a time")
            }
        }
    }

    @Test func theMemoryOfARange() throws {
        let seed = Seed.value()
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            var isMemory = [Bool](repeating: false, count: 64)
            for index in isMemory.indices { isMemory[index] = random.next() % 3 != 0 }
            let regions = try isMemory.indices.filter { isMemory[$0] }.map {
                try PageRange(pages: UInt64($0)..<UInt64($0 + 1))
            }
            guard !regions.isEmpty else { continue }
            let layout = try GuestMemoryLayout(regions: regions)
            let low = Int(random.next(upperBound: UInt64(70)))
            let high = low + 1 + Int(random.next(upperBound: UInt64(20)))
            let pieces = Array(layout.memory(in: try PageRange(pages: UInt64(low)..<UInt64(high))))
            let found = pieces.flatMap { Int($0.start.rawValue)..<Int($0.end) }
            #expect(found == (low..<high).filter { $0 < 64 && isMemory[$0] }, "CUSTODY_SEED=\(seed)")
            #expect(zip(pieces, pieces.dropFirst()).allSatisfy { $0.end < $1.start.rawValue }, "maximal")
        }
    }
}
