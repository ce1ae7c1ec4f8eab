import Custody
import CustodyPolicy
import Foundation
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
        let connection = try guest.connect()
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
        let connection = try guest.connect()
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

    @Test func itIsToldOnItsConsoleWhatToDo() throws {
        let guest = try EmulatedGuest()
        let console = try guest.console()
        for removal in ChannelCommand.Removal.allCases + ChannelCommand.Removal.allCases {
            try console.answerRemovals(by: removal, within: .seconds(60))
        }
        // What it said of a command on the other line is not taken for an answer.
        let connection = try guest.connect()
        try connection.greet(within: .seconds(60))
        #expect(try connection.perform(.removal(.refuse), within: .seconds(60)).status == .done)
        try console.answerRemovals(by: .refuse, within: .seconds(60))
        guest.end()
        let error = #expect(throws: BackendError.self) { try console.answerRemovals(by: .accept) }
        #expect(error?.code == .guestFailed)
    }

    @Test func aConsoleThatIsSilentOrNotThereIsAnError() throws {
        let missing = #expect(throws: BackendError.self) { try MicroGuestConsole(path: "/nonexistent/console") }
        #expect(missing?.code == .unavailable)
        let folder = FileManager.default.temporaryDirectory.appending(path: "custody-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let listener = try Listener(path: folder.path + "/console")
        let console = try MicroGuestConsole(path: listener.path)
        let error = #expect(throws: BackendError.self) {
            try console.answerRemovals(by: .accept, within: .milliseconds(10))
        }
        #expect(error?.code == .guestFailed)
    }

    /// A socket that takes connections and says nothing.
    private struct Listener: ~Copyable {
        let path: String
        private let descriptor: Int32

        init(path: String) throws {
            self.path = path
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: Array(path.utf8)) }
            let status = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            #expect(status == 0 && listen(descriptor, 1) == 0)
        }

        deinit { close(descriptor) }
    }
}
