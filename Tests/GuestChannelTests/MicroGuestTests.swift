import Custody
import CustodyPolicy
import GuestChannel
import Testing

/// The micro guest, emulated.
@Suite(.serialized) struct MicroGuestTests {
    @Test func theImageIsFirmware() throws {
        let image = try MicroGuestImage.bytes()
        #expect(image.count == 65536)
        #expect(image[0xfff0] == 0xe9, "the first instruction is a jump")
    }

    @Test func itDoesAsItIsTold() throws {
        let guest = try EmulatedGuest()
        let connection = try guest.connect("channel")
        #expect(try connection.greet(within: .seconds(60)) == [.commands, .memory, .removal])
        let agent = ChannelGuestAgent(connection, patience: .seconds(60))
        let fixture = try ChannelFixture()
        func perform(_ operation: GuestOperation) throws -> GuestOutcome {
            try agent.perform(operation, on: 0, answeringTo: fixture.controller)
        }
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let address = GuestPhysicalAddress(0x40_0003)
        #expect(try perform(.write(bytes, to: address)) == .written)
        #expect(try perform(.read(count: 1000, from: address)) == .bytes(bytes))
        let end = GuestPhysicalAddress(64 << 30)
        #expect(try perform(.read(count: 1, from: end)) == .fault(end))
        #expect(
            try perform(.write([1, 2], to: GuestPhysicalAddress((64 << 30) - 1)))
                == .fault(GuestPhysicalAddress((64 << 30) - 1))
        )

        func ask(_ address: UInt64, _ byteCount: UInt64, _ target: Ownership) throws -> GuestOutcome {
            try perform(.request(address: address, byteCount: byteCount, target: target))
        }
        let start = ChannelFixture.start
        #expect(try ask(start, 8192, .private) == .reply(.done))
        #expect(try ask(start, 1, .private) == .reply(.refused))
        #expect(try ask(start + 0x3000, 4096, .host) == .reply(.done))
        #expect(try ask(start, 4096, .inTransit) == .reply(.refused))
        #expect(try ask(.max, .max, .shared) == .reply(.refused))
        let lease = try fixture.controller.lease(
            PageRange(start: PageNumber(260), count: 1),
            .pin,
            for: Holder(device: "nic")
        )
        #expect(try ask(start + 0x4000, 4096, .private) == .reply(.retry(from: GuestPhysicalAddress(start + 0x4000))))
        lease.release()
        #expect(fixture.map.hasPrefix("PPSH"))
    }

    @Test func commandsThatItDoesNotTakeAreSaidTo() throws {
        let guest = try EmulatedGuest()
        let connection = try guest.connect("channel")
        try connection.greet(within: .seconds(60))
        func status(_ command: ChannelCommand) throws -> ChannelResult.Status {
            try connection.perform(command, within: .seconds(60)).status
        }
        #expect(try status(.hold(byteCount: 1)) == .unknownType)
        #expect(try status(.online(address: 0, byteCount: 1, .any)) == .unknownType)
        #expect(try status(.read(byteCount: 489, address: 0x10_0000)) == .malformed)
        #expect(try status(.removal(.refuse)) == .done)
        #expect(try status(.removal(.accept)) == .done)
    }
}
