import Custody
import CustodyTestSupport
import Testing

@Suite struct GuestMemoryLayoutTests {
    @Test func regionsAreSortedAndNeighboursJoined() throws {
        let layout = try GuestMemoryLayout(regions: [
            PageRange(pages: 30..<40), PageRange(pages: 0..<10), PageRange(pages: 10..<20),
        ])
        #expect(try layout.regions == [PageRange(pages: 0..<20), PageRange(pages: 30..<40)])
        #expect(layout.pageCount == 30)
        #expect(try layout.bounds == PageRange(pages: 0..<40))
    }

    @Test func faultyRegions() throws {
        #expect(throws: LayoutError.noMemory) { try GuestMemoryLayout(regions: []) }
        let first = try PageRange(pages: 0..<10)
        let second = try PageRange(pages: 9..<12)
        #expect(throws: LayoutError.overlap(first, second)) { try GuestMemoryLayout(regions: [second, first]) }
        #expect(throws: LayoutError.overlap(first, first)) { try GuestMemoryLayout(regions: [first, first]) }
        #expect(throws: LayoutError.misaligned(first, granularity: .large)) {
            try GuestMemoryLayout(regions: [first], granularity: .large)
        }
        #expect("\(LayoutError.overlap(first, second))".contains("0x0-0x9fff"))
    }

    @Test func holesAndRegionsPageByPage() throws {
        let regions = try [1..<3, 5..<6, 9..<14].map { try PageRange(pages: $0) }
        let layout = try GuestMemoryLayout(regions: regions)
        for page in 0..<17 as Range<UInt64> {
            let expected = regions.first { $0.contains(PageNumber(page)) }
            #expect(layout.region(containing: PageNumber(page)) == expected)
            for end in (page + 1)..<18 {
                let hole = (page..<end).first { page in !regions.contains { $0.contains(PageNumber(page)) } }
                let expectedHole = hole.map { PageNumber($0) }
                #expect(try layout.firstHole(in: PageRange(pages: page..<end)) == expectedHole)
            }
        }
        #expect(layout.region(containing: PageNumber(.max)) == nil)
    }

    @Test func topOfTheAddressSpace() throws {
        let top = try PageRange(start: .last, count: 1)
        let layout = try GuestMemoryLayout(regions: [top])
        #expect(layout.bounds == top)
        #expect(layout.firstHole(in: top) == nil)
    }
}
