import Custody
import Testing

@testable import KVMBackend

@Suite(.needsKVM, .timeLimit(.minutes(60))) struct ConversionTests {
    @Test func dualRoundTrip() throws {
        let backend = try Guests.backend(.dual)
        let range = try Guests.range(4, 8)
        let page = Guests.address(6, 16)
        try backend.hostWrite([1, 2, 3], to: page)
        try backend.hostWrite([9], to: Guests.address(3))
        try backend.hostWrite([9], to: Guests.address(12))

        #expect(try backend.change(range, from: .shared, to: .private) == .zeroed)
        #expect(try backend.guestRead(3, from: page) == .bytes([0, 0, 0]))
        #expect(try backend.guestWrite([4, 5, 6], to: page) == .written)
        #expect(try backend.guestRead(3, from: page) == .bytes([4, 5, 6]))
        let error = try #require(backend.hostError(at: page))
        #expect(error.code == .accessDenied)
        #expect(error.fault == HostFault(enforcement: .kernel, address: page, evidence: "SIGBUS"))
        #expect(throws: BackendError.self) { try backend.hostWrite([1], to: page) }
        // A copy that runs into the private pages stops at the first of them.
        let crossing = #expect(throws: BackendError.self) { try backend.hostRead(8192, from: Guests.address(3)) }
        #expect(crossing?.fault?.address == Guests.address(4))
        // Neighbours keep their bytes and stay reachable.
        #expect(try backend.hostRead(1, from: Guests.address(3)) == [9])
        #expect(try backend.hostRead(1, from: Guests.address(12)) == [9])

        #expect(try backend.change(range, from: .private, to: .shared) == .zeroed)
        #expect(try backend.hostRead(3, from: page) == [0, 0, 0])
        #expect(try backend.guestRead(3, from: page) == .bytes([0, 0, 0]))
        #expect(backend.slotRuns.count == 1)
        // What the guest wrote is gone for good, not merely out of sight.
        try backend.change(range, from: .shared, to: .private)
        #expect(try backend.guestRead(3, from: page) == .bytes([0, 0, 0]))
    }

    @Test func revokedRoundTrip() throws {
        let backend = try Guests.backend(.revoked)
        let range = try Guests.range(4, 8)
        let page = Guests.address(6, 16)
        try backend.hostWrite([1, 2, 3], to: page)
        #expect(try backend.change(range, from: .shared, to: .private) == .preserved)
        #expect(try backend.guestRead(3, from: page) == .bytes([1, 2, 3]))
        #expect(try backend.guestWrite([4, 5, 6], to: page) == .written)
        let error = try #require(backend.hostError(at: page))
        #expect(error.fault == HostFault(enforcement: .process, address: page, evidence: "SIGSEGV"))
        #expect(backend.hostError(at: Guests.address(3)) == nil)
        #expect(try backend.change(range, from: .private, to: .shared) == .preserved)
        #expect(try backend.hostRead(3, from: page) == [4, 5, 6])
    }

    /// A change that was neither finished nor undone is finished when it is dropped; one merely prepared is cancelled.
    @Test func droppedChangesDoNotLeak() throws {
        let backend = try Guests.backend(.dual, slotLimit: 4)
        let range = try Guests.range(4, 1)
        for _ in 0..<10 {
            _ = try backend.prepare(OwnershipChange(range: range, from: .shared, to: .private, initiator: .guest))
        }
        for _ in 0..<10 {
            _ = try backend.commitOnly(range, from: .shared, to: .private)
            #expect(try backend.guestWrite([3], to: Guests.address(4)) == .written)
            _ = try backend.commitOnly(range, from: .private, to: .shared)
            #expect(try backend.hostRead(1, from: Guests.address(4)) == [0])
        }
    }

    @Test func wrongChangesAreRefused() throws {
        let backend = try Guests.backend(.dual)
        try backend.change(Guests.range(4, 2), from: .shared, to: .private)
        let wrong: [(PageRange, Ownership, Ownership)] = [
            (try Guests.range(511, 2), .shared, .private),
            (try Guests.range(0, 5), .shared, .private),
            (try Guests.range(4, 2), .shared, .private),
            (try Guests.range(4, 2), .host, .private),
            (try PageRange(start: PageNumber.last, count: 1), .shared, .private),
        ]
        for (range, from, to) in wrong {
            let error = #expect(throws: BackendError.self) { try backend.change(range, from: from, to: to) }
            #expect(error?.code == .invalidArgument)
        }
        #expect(backend.slotRuns.count == 3)
        let outside = #expect(throws: BackendError.self) {
            try backend.hostRead(2, from: Guests.address(511, 4095))
        }
        #expect(outside?.code == .invalidArgument)
        #expect(throws: BackendError.self) { try backend.hostRead(1, from: GuestPhysicalAddress(.max)) }
    }

    /// The request reaches its handler while the processor is out, and the handler may convert right there.
    @Test func aGuestConvertsItsOwnMemory() throws {
        let backend = try Guests.backend(.dual, processors: 2)
        let agent = try #require(backend.guestAgent)
        let handler = Answering { [weak backend] request in
            do {
                let range = try PageRange(
                    address: GuestPhysicalAddress(request.address),
                    byteCount: request.byteCount
                )
                try backend?.change(range, from: .shared, to: request.target)
                return .done
            } catch { return .refused }
        }
        for page in UInt64(0)..<4 {
            let operation = GuestOperation.request(
                address: Guests.address(page * 2).rawValue,
                byteCount: 4096,
                target: .private
            )
            #expect(try agent.perform(operation, on: Int(page % 2), answeringTo: handler) == .reply(.done))
            #expect(backend.hostError(at: Guests.address(page * 2))?.code == .accessDenied)
        }
    }
}
