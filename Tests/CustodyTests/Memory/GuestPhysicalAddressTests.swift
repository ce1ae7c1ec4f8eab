import Custody
import Testing

@Suite struct GuestPhysicalAddressTests {
    @Test func advancingIsChecked() {
        #expect(GuestPhysicalAddress(.max).advanced(by: 0) == GuestPhysicalAddress(.max))
        #expect(GuestPhysicalAddress(.max).advanced(by: 1) == nil)
        #expect(GuestPhysicalAddress(1).advanced(by: .max) == nil)
        #expect(GuestPhysicalAddress(1).advanced(by: .max - 1) == GuestPhysicalAddress(.max))
    }

    @Test func pagesAndOffsets() {
        let address = GuestPhysicalAddress(0x1234_5678)
        #expect(address.page == PageNumber(0x12345))
        #expect(address.offsetInPage == 0x678)
        #expect(GuestPhysicalAddress(.max).page == .last)
        #expect(PageNumber.last.address == GuestPhysicalAddress(0xffff_ffff_ffff_f000))
        #expect(address.description == "0x12345678")
    }

    @Test func alignmentToEverySize() {
        for size in PageSize.allCases {
            #expect(GuestPhysicalAddress(0).isAligned(to: size))
            #expect(GuestPhysicalAddress(size.bytes * 3).isAligned(to: size))
            #expect(!GuestPhysicalAddress(size.bytes * 3 + size.bytes / 2).isAligned(to: size))
            #expect(!GuestPhysicalAddress(size.bytes - 1).isAligned(to: size))
            #expect(size.pages * 4096 == size.bytes)
        }
    }
}
