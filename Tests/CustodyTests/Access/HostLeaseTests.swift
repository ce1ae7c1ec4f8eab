import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@Suite struct HostLeaseTests {
    private final class Owner: LeaseOwner {
        private let log = Locked<[LeaseID]>([])
        var released: [LeaseID] { log.withLock { $0 } }
        func release(_ lease: LeaseID) { log.withLock { $0.append(lease) } }
    }

    private let owner = Owner()

    private func lease(_ number: UInt64 = 1, _ memory: FakeBackend? = nil) throws -> HostLease {
        let backend = try memory ?? FakeBackend(GuestMemoryLayout(pages: 0..<10), executor: VirtualExecutor())
        return HostLease(
            id: LeaseID(rawValue: number),
            range: try PageRange(pages: 2..<4),
            kind: .pin,
            holder: Holder(device: "nic"),
            owner: owner,
            memory: backend
        )
    }

    @Test func endOfScopeReleasesOnce() throws {
        do {
            let lease = try lease()
            #expect(lease.kind == .pin)
            #expect(owner.released.isEmpty)
        }
        #expect(owner.released == [LeaseID(rawValue: 1)])
    }

    @Test func releaseReleasesOnce() throws {
        let lease = try lease()
        lease.release()
        #expect(owner.released == [LeaseID(rawValue: 1)])
    }

    @Test func aThrowReleasesOnce() throws {
        func useAndThrow() throws {
            let lease = try lease()
            var bytes: [UInt8] = [0]
            var span = bytes.mutableSpan
            try lease.read(&span, from: GuestPhysicalAddress(0))
        }
        #expect(throws: BackendError.self) { try useAndThrow() }
        #expect(owner.released == [LeaseID(rawValue: 1)])
    }

    @Test func replacingAnOptionalReleasesTheOldOne() throws {
        var kept: HostLease? = try lease(1)
        kept = try lease(2)
        #expect(owner.released == [LeaseID(rawValue: 1)])
        if let last = kept.take() { last.release() }
        #expect(owner.released == [LeaseID(rawValue: 1), LeaseID(rawValue: 2)])
    }

    @Test func bytesWithinTheLeaseComeAndGo() throws {
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<10), executor: VirtualExecutor())
        let lease = try lease(1, backend)
        for address in [2 * 4096, 4 * 4096 - 3, 3 * 4096 - 1] as [UInt64] {
            let written: [UInt8] = [1, 2, 3]
            try lease.write(written.span, to: GuestPhysicalAddress(address))
            var read: [UInt8] = [0, 0, 0]
            var span = read.mutableSpan
            try lease.read(&span, from: GuestPhysicalAddress(address))
            #expect(read == written)
        }
    }

    @Test(arguments: [0, 8191, 16382, 16384, 36864, 0xffff_ffff_ffff_fffe, 0xffff_ffff_ffff_ffff] as [UInt64])
    func bytesBeyondTheLeaseAreRefused(address: UInt64) throws {
        let lease = try lease()
        var bytes: [UInt8] = [0, 0, 0]
        var code: BackendError.Code?
        do throws(BackendError) {
            var span = bytes.mutableSpan
            try lease.read(&span, from: GuestPhysicalAddress(address))
        } catch { code = error.code }
        #expect(code == .invalidArgument)
        code = nil
        do throws(BackendError) { try lease.write(bytes.span, to: GuestPhysicalAddress(address)) } catch {
            code = error.code
        }
        #expect(code == .invalidArgument)
    }

    @Test func noBytesAreAlwaysFine() throws {
        let lease = try lease()
        let none: [UInt8] = []
        try lease.write(none.span, to: GuestPhysicalAddress(.max))
    }
}
