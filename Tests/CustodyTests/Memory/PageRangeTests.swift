import Custody
import CustodyTestSupport
import Testing

@Suite struct PageRangeTests {
    let last = PageNumber.last.rawValue

    @Test func lastPageIsARange() throws {
        let range = try PageRange(start: .last, count: 1)
        #expect(range.last == .last)
        #expect(range.end == last + 1)
        #expect(range.address.rawValue == 0xffff_ffff_ffff_f000)
        #expect(range.description == "0xfffffffffffff000-0xffffffffffffffff (4 KiB)")
    }

    @Test func wholeAddressSpaceIsARange() throws {
        let range = try PageRange(start: PageNumber(0), count: last + 1)
        #expect(range.last == .last)
        #expect(range.byteCount == .max, "2^64 bytes do not fit")
        #expect(range.contains(.last) && !range.contains(PageNumber(last + 1)))
    }

    private static let beyond: [(UInt64, UInt64)] = [
        (0x000f_ffff_ffff_ffff, 2), (0x0010_0000_0000_0000, 1), (0, 0x0010_0000_0000_0001), (1, .max), (.max, 1),
        (.max, .max), (2, 0xffff_ffff_ffff_fffe),
    ]

    @Test(arguments: beyond)
    func beyondTheEndWraps(start: UInt64, count: UInt64) {
        #expect(throws: RangeError.wraps) { try PageRange(start: PageNumber(start), count: count) }
    }

    @Test func noPageIsEmpty() {
        #expect(throws: RangeError.empty) { try PageRange(start: PageNumber(3), count: 0) }
        #expect(throws: RangeError.empty) { try PageRange(address: GuestPhysicalAddress(4096), byteCount: 0) }
        #expect(throws: RangeError.empty) { try PageRange(touching: GuestPhysicalAddress(5), byteCount: 0) }
    }

    private static let crooked: [(UInt64, UInt64)] = [
        (1, 4096), (4095, 4096), (4096, 1), (4096, 4097), (0x400800, 4096), (.max, .max),
    ]

    @Test(arguments: crooked)
    func misaligned(address: UInt64, byteCount: UInt64) {
        #expect(throws: RangeError.misaligned(granularity: .base)) {
            try PageRange(address: GuestPhysicalAddress(address), byteCount: byteCount)
        }
    }

    @Test func addressesThatWrap() {
        #expect(throws: RangeError.wraps) {
            try PageRange(address: GuestPhysicalAddress(0xffff_ffff_ffff_f000), byteCount: 8192)
        }
        #expect(throws: RangeError.wraps) { try PageRange(touching: GuestPhysicalAddress(.max), byteCount: 2) }
        #expect(throws: RangeError.wraps) { try PageRange(touching: GuestPhysicalAddress(2), byteCount: .max) }
    }

    @Test func touchingTakesEveryPageInReach() throws {
        func touched(_ address: UInt64, _ count: UInt64) throws -> Range<UInt64> {
            let range = try PageRange(touching: GuestPhysicalAddress(address), byteCount: count)
            return range.start.rawValue..<range.end
        }
        #expect(try touched(0, 1) == 0..<1)
        #expect(try touched(4095, 1) == 0..<1)
        #expect(try touched(4095, 2) == 0..<2)
        #expect(try touched(4096, 4096) == 1..<2)
        #expect(try touched(1, 8192) == 0..<3)
        #expect(try touched(.max, 1) == last..<(last + 1))
        #expect(try touched(0, .max) == 0..<(last + 1))
    }

    /// Against sets of page numbers: intersection, prefix, suffix, overlap, containment.
    @Test func setAlgebra() throws {
        for a in 0..<6 as Range<UInt64> {
            for b in (a + 1)..<8 {
                let first = try PageRange(pages: a..<b)
                for c in 0..<6 as Range<UInt64> {
                    #expect(first.contains(PageNumber(c)) == (a..<b).contains(c))
                    #expect(numbers(first.prefix(before: PageNumber(c))) == (a..<b).filter { $0 < c })
                    #expect(numbers(first.suffix(from: PageNumber(c))) == (a..<b).filter { $0 >= c })
                    for d in (c + 1)..<8 {
                        let second = try PageRange(pages: c..<d)
                        let common = Set(a..<b).intersection(c..<d).sorted()
                        #expect(numbers(first.intersection(second)) == common)
                        #expect(first.overlaps(second) == !common.isEmpty)
                        #expect(first.contains(second) == Set(a..<b).isSuperset(of: c..<d))
                    }
                }
            }
        }
    }

    private func numbers(_ range: PageRange?) -> [UInt64] { range.map { Array($0.start.rawValue..<$0.end) } ?? [] }

    @Test func alignment() throws {
        #expect(try PageRange(pages: 512..<1024).isAligned(to: .large))
        #expect(try !PageRange(pages: 511..<1023).isAligned(to: .large))
        #expect(try !PageRange(pages: 512..<1023).isAligned(to: .large))
        #expect(try PageRange(pages: 7..<8).isAligned(to: .base))
    }
}
