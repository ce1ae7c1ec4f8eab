import Custody
import CustodyTestSupport
import Testing

@Suite struct ByteCountTests {
    @Test(arguments: [
        ("0", 0 as UInt64), ("1", 1), ("4096", 4096), ("4096B", 4096), ("64K", 65536), ("64k", 65536), ("4KiB", 4096),
        ("4 KiB", 4096), ("4kib", 4096), ("2M", 2 << 20), ("256MiB", 256 << 20), ("1G", 1 << 30), ("1TiB", 1 << 40),
        ("3PiB", 3 << 50), ("0x1000", 4096), ("0X10 KiB", 16384), ("0xfffffffffffff000", 0xffff_ffff_ffff_f000),
        ("18446744073709551615", .max), ("007", 7),
    ])
    func accepted(text: String, bytes: UInt64) {
        #expect(ByteCount(text: text)?.rawValue == bytes)
    }

    @Test(arguments: [
        "", " ", "K", "KiB", "0x", "0xg", "-1", "+1", "1.5M", "1KB", "1kb", "1EiB", "1KiBs", "1 KiB ", " 1", "1  K",
        "1K B", "4096 bytes", "1e3", "1_000", "٣", "１", "18446744073709551616", "18014398509481984K",
        "16384PiB", "0x10000000000000000", "0xffffffffffffffffK", "\u{0}", "1\n", "1\u{301}",
    ])
    func refused(text: String) {
        #expect(ByteCount(text: text) == nil)
    }

    @Test func largestMultipleOfEachUnitFits() {
        for (power, unit) in ByteCount.units.enumerated() {
            let factor = UInt64(1) << (10 * UInt64(power))
            let most = UInt64.max / factor
            #expect(ByteCount(text: "\(most)\(unit)")?.rawValue == most * factor)
            if power > 0 { #expect(ByteCount(text: "\(most + 1)\(unit)") == nil) }
        }
    }

    @Test func printsTheLargestUnitThatDivides() {
        #expect(ByteCount(0).description == "0 B")
        #expect(ByteCount(1023).description == "1023 B")
        #expect(ByteCount(1024).description == "1 KiB")
        #expect(ByteCount(1536).description == "1536 B")
        #expect(ByteCount(UInt64(3) << 52).description == "12 PiB")
    }

    @Test func pagesHaveASizeHoweverManyThereAre() throws {
        #expect(ByteCount.text(ofPages: 0) == "0 B" && ByteCount.text(ofPages: 3) == "12 KiB")
        #expect(ByteCount.text(ofPages: 1 << 28) == "1 TiB" && ByteCount.text(ofPages: 1 << 52) == "16 EiB")
        #expect(ByteCount.text(ofPages: (1 << 52) - 1) == "18014398509481980 KiB")
        #expect(ByteCount.text(ofPages: .max) == "more than 18446744073709551615 KiB")
        let everything = try PageRange(start: PageNumber(0), count: 1 << 52)
        #expect("\(everything)" == "0x0-0xffffffffffffffff (16 EiB)")
    }

    @Test func whatIsPrintedIsRead() {
        var (random, note) = Seed.generator("ByteCount")
        for _ in 0..<2000 {
            let bits = UInt64.random(in: 0..<64, using: &random)
            let zeroes = UInt64.random(in: 0..<50, using: &random)
            let count = ByteCount((random.next() >> bits) << zeroes)
            #expect(ByteCount(text: count.description) == count, "\(note)")
        }
    }
}
