import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@testable import CustodyPolicy

/// What a copy sees without the controller's lock, and what is seen of it.
@Suite struct HostAccessTests {
    /// Against an array with one element a page: regions that begin and end anywhere, several chunks each.
    @Test func theMapAgreesWithAnArray() throws {
        var (random, note) = Seed.generator("HostAccessMap")
        let regions = [5..<70_000, 70_010..<70_011, 80_000..<180_000] as [Range<UInt64>]
        let end = 180_100
        let layout = try GuestMemoryLayout(regions: regions.map { try PageRange(pages: $0) })
        var ownership = PageRunMap(bounds: layout.bounds, state: Ownership.private)
        ownership.set(try PageRange(pages: 60_000..<90_000), to: .shared)
        let map = HostAccessMap(ownership, of: layout)
        var array = [Bool](repeating: false, count: end)
        let ram = regions.flatMap { $0.map(Int.init) }
        for page in ram where (60_000..<90_000).contains(page) { array[page] = true }
        func range() throws -> Range<UInt64> {
            let longest = [3, 100, 70_000][Int(random.next(upperBound: 3 as UInt64))] as UInt64
            let low = random.next(upperBound: UInt64(end) - longest)
            return low..<(low + 1 + random.next(upperBound: longest))
        }
        for step in 0..<150 {
            let pages = try range()
            let isAllowed = random.next() % 2 == 0
            map.set(try PageRange(pages: pages), isAllowed: isAllowed)
            for region in regions {
                for page in pages.clamped(to: region) { array[Int(page)] = isAllowed }
            }
            for _ in 0..<5 {
                let asked = try range()
                let expected =
                    asked.allSatisfy { array[Int($0)] } && regions.contains { asked.clamped(to: $0) == asked }
                try #require(map.allows(PageRange(pages: asked)) == expected, "\(note), step \(step): \(asked)")
            }
        }
        map.close()
        map.set(layout.bounds, isAllowed: true)
        #expect(try !map.allows(PageRange(pages: 100..<101)), "closed for good")
    }

    @Test func memoryWithoutEndIsAskedForUnderTheLock() throws {
        let layout = try GuestMemoryLayout(pages: 0..<(1 << 52))
        let map = HostAccessMap(PageRunMap(bounds: layout.bounds, state: .shared), of: layout)
        #expect(try map.allows(PageRange(pages: 0..<100)))
        #expect(try !map.allows(PageRange(pages: ((1 << 52) - 1)..<(1 << 52))))
    }

    /// Whoever takes pages has denied them when it has looked who is there; what it does not take is allowed again.
    @Test func whoeverTakesPagesDeniesThem() throws {
        let layout = try GuestMemoryLayout(pages: 0..<64)
        let state = ControllerState(ownership: PageRunMap(bounds: layout.bounds, state: .shared), layout: layout)
        let range = try PageRange(pages: 8..<16)
        var changes = Changes()
        changes.append(OwnershipChange(range: range, from: .shared, to: .private, initiator: .guest))
        #expect(state.close(changes, at: .zero).isEmpty)
        #expect(try !state.hostAccess.allows(range) && state.hostAccess.allows(PageRange(pages: 0..<8)))
        state.open(changes)
        #expect(state.hostAccess.allows(layout.bounds))
    }

    /// Whoever is found is there, and whoever is there is found, by the lower bits of the page numbers and beyond.
    @Test func theBoardFindsThoseWhoAreThere() throws {
        var (random, note) = Seed.generator("AccessBoard")
        func range() throws -> PageRange {
            let near = random.next(upperBound: 8 as UInt64)
            let far = (random.next() % 3) << 14 + (random.next() % 3) << 20
            return try PageRange(start: PageNumber(far + near), count: 1 + random.next(upperBound: 6 as UInt64))
        }
        for step in 0..<500 {
            let (copied, asked) = (try range(), try range())
            let board = AccessBoard()
            let holder = Holder(device: "d\(step)")
            let now = Timestamp(rawValue: UInt64(step))
            try unsafe withUnsafePointer(to: holder) { pointer in
                let record = unsafe AccessBoard.Record(range: copied, holder: pointer)
                try unsafe withUnsafePointer(to: record) { record in
                    let place = try #require(unsafe board.enter(record))
                    let held = copied.intersection(asked)
                    try #require(board.isBusy(asked) == (held != nil), "\(note): \(copied), \(asked)")
                    let expected = held.map { [Blocker(holder: holder, range: $0, kind: .access, since: now)] } ?? []
                    try #require(board.blockers(of: asked, at: now) == expected, "\(note): \(copied), \(asked)")
                    try #require(board.leave(place) || held == nil, "who has been seen is told so")
                    try #require(!board.isBusy(copied))
                }
            }
        }
    }

    /// Whoever comes takes a free place as long as there is one, whichever thread it is on.
    @Test func aFullBoardRefuses() throws {
        let board = AccessBoard()
        let holder = Holder(device: "vmm")
        let range = try PageRange(pages: 0..<1)
        try unsafe withUnsafePointer(to: holder) { holder in
            let record = unsafe AccessBoard.Record(range: range, holder: holder)
            try unsafe withUnsafePointer(to: record) { record in
                let places = (0...AccessBoard.places).map { _ in unsafe board.enter(record) }
                #expect(Set(places.compactMap { $0 }).count == AccessBoard.places && places.last == .some(nil))
                let third = try #require(places[2])
                #expect(!board.leave(third))
                let again = unsafe board.enter(record)
                #expect(again == places[2], "a place that is given back is free")
            }
        }
    }
}
