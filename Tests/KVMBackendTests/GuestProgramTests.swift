import Custody
import Testing

@testable import KVMBackend

@Suite(.needsKVM, .timeLimit(.minutes(60))) struct GuestProgramTests {
    @Test(arguments: [KVMMode.dual, .revoked]) func bytesGoBothWays(mode: KVMMode) throws {
        let backend = try Guests.backend(mode, processors: 2)
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        #expect(try backend.guestWrite(bytes, to: Guests.address(1, 5)) == .written)
        #expect(try backend.hostRead(10_000, from: Guests.address(1, 5)) == bytes)
        #expect(try backend.guestRead(10_000, from: Guests.address(1, 5), on: 1) == .bytes(bytes))
        try backend.hostWrite([1, 2, 3], to: Guests.address(7))
        #expect(try backend.guestRead(3, from: Guests.address(7)) == .bytes([1, 2, 3]))
        #expect(try backend.guestRead(0, from: Guests.address(7)) == .bytes([]))
    }

    @Test func commandsReportWhatTheyFind() throws {
        let backend = try Guests.backend(.dual)
        let start = Guests.address(3).rawValue
        func run(_ command: GuestCommand) throws -> GuestCommandResult {
            try backend.execute(command, on: 0, answeringTo: Refusing())
        }
        _ = try run(.fill(pattern: 0x0102_0304_0506_0708, address: start, count: 11))
        let expected: [UInt8] = [8, 7, 6, 5, 4, 3, 2, 1, 8, 7, 6, 0]
        #expect(try backend.hostRead(12, from: Guests.address(3)) == expected)
        let hash = expected.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        #expect(try run(.checksum(address: start, count: 12)) == .done(value: hash, address: 0, bytes: []))
        _ = try run(.fill(pattern: 0, address: start, count: 64))
        #expect(try run(.compare(byte: 0, address: start, count: 4096)) == .done(value: 4096, address: 0, bytes: []))
        try backend.hostWrite([9], to: Guests.address(3, 100))
        #expect(try run(.compare(byte: 0, address: start, count: 4096)) == .done(value: 100, address: 0, bytes: []))
        _ = try run(.hammer(passes: 7, address: start, count: 4096))
        #expect(try backend.hostRead(1, from: Guests.address(3, 64)) == [7])
    }

    @Test func requestsAreAnsweredOnTheProcessor() throws {
        let backend = try Guests.backend(.dual, processors: 2)
        let agent = try #require(backend.guestAgent)
        let replies: [GuestReply] = [.done, .refused, .retry(from: GuestPhysicalAddress(0xFFFF_FFFF_FFFF_F000))]
        for reply in replies {
            let handler = Answering { _ in reply }
            let outcome = try agent.perform(
                .request(address: .max, byteCount: 3, target: .private),
                on: 1,
                answeringTo: handler
            )
            #expect(outcome == .reply(reply))
            #expect(
                handler.requests
                    == [GuestRequest(processor: 1, address: .max, byteCount: 3, target: .private)]
            )
        }
    }

    /// A target that is no ownership never reaches the handler.
    @Test func nonsenseIsRefused() throws {
        let backend = try Guests.backend(.dual)
        let handler = Answering { _ in .done }
        for target: UInt64 in [4, 255, 256, 1 << 32, .max] {
            let result = try backend.execute(
                .request(address: 0, count: 0, target: target),
                on: 0,
                answeringTo: handler
            )
            #expect(result == .done(value: 2, address: 0, bytes: []))
        }
        #expect(handler.requests.isEmpty)
    }

    @Test func accessOutsideMemoryIsAFaultAndTheGuestGoesOn() throws {
        let backend = try Guests.backend(.dual)
        let end = Guests.address(512)
        #expect(try backend.guestRead(1, from: end) == .fault(end))
        #expect(try backend.guestWrite([1, 2, 3, 4, 5, 6, 7, 8, 9], to: end) == .fault(end))
        #expect(try backend.guestWrite([1], to: GuestPhysicalAddress(.max)) == .fault(GuestPhysicalAddress(.max)))
        let beyond = GuestPhysicalAddress(1 << 40)
        #expect(try backend.guestRead(8, from: beyond) == .fault(beyond))
        #expect(try backend.guestWrite([42], to: Guests.address(0)) == .written)
        #expect(try backend.guestRead(1, from: Guests.address(0)) == .bytes([42]))
    }

    @Test func theBootSlotLiesBesideTheRAM() throws {
        // RAM from address 0: the guest program must find a place above it.
        for start: UInt64 in [0, 0x10_0000, 0xC000_0000 - 0x20_0000, 0x1_0000_0000] {
            let region = try PageRange(address: GuestPhysicalAddress(start), byteCount: 0x20_0000)
            let guest = GuestConfiguration(layout: try GuestMemoryLayout(regions: [region]))
            let backend = try KVMBackend(guest, mode: .dual)
            #expect(try backend.guestWrite([7], to: region.address) == .written)
            #expect(try backend.hostRead(1, from: region.address) == [7])
        }
    }

    @Test func aProcessorInsideARequestDoesNothingElse() throws {
        let backend = try Guests.backend(.dual)
        let agent = try #require(backend.guestAgent)
        let handler = Answering { _ in
            do throws(BackendError) {
                _ = try agent.perform(.read(count: 1, from: Guests.address(0)), on: 0, answeringTo: Refusing())
                return .refused
            } catch { return error.code == .invalidArgument ? .done : .refused }
        }
        let outcome = try agent.perform(
            .request(address: 0, byteCount: 1, target: .shared),
            on: 0,
            answeringTo: handler
        )
        #expect(outcome == .reply(.done))
    }

    @Test func theEndIsTheEnd() throws {
        let backend = try Guests.backend(.dual, processors: 2)
        #expect(throws: BackendError.self) { try backend.execute(.end, on: 0, answeringTo: Refusing()) }
        #expect(throws: BackendError.self) { try backend.guestRead(1, from: Guests.address(0)) }
        #expect(try backend.guestRead(1, from: Guests.address(0), on: 1) == .bytes([0]))
        backend.shutDown()
        backend.shutDown()
        #expect(throws: BackendError.self) { try backend.guestRead(1, from: Guests.address(0), on: 1) }
    }
}
