import Custody
import CustodyTestSupport
import KVMBackend
import SimulationBackend
import Testing

/// What a guest meets where it has no memory: the same on the simulation and on a real guest.
@Suite(.enabled(if: TestHost.hasKVM, "there is no /dev/kvm that this user may open"))
struct SameAccessTests {
    private struct Refusing: GuestRequestHandler {
        func handle(_ request: GuestRequest) -> GuestReply { .refused }
    }

    private static let mebibyte: UInt64 = 1 << 20

    /// Accesses at the edges of two regions, from 2 MiB to 4 MiB and from 16 MiB to 18 MiB, and far from both.
    static let accesses: [(address: UInt64, count: Int)] = [
        (2 * mebibyte, 8), (2 * mebibyte - 4, 8), (2 * mebibyte - 4096, 8192), (4 * mebibyte - 8, 8),
        (4 * mebibyte - 4, 8), (4 * mebibyte - 4096, 8192), (4 * mebibyte, 1), (8 * mebibyte, 4096),
        (16 * mebibyte - 1, 2), (17 * mebibyte, 64), (18 * mebibyte - 1, 1), (18 * mebibyte - 1, 2), (1 << 30, 16),
        (1 << 45, 8), (UInt64.max - 3, 4), (UInt64.max - 3, 8), (UInt64.max, 1), (8 * mebibyte, 0),
    ]

    @Test(arguments: [KVMMode.dual, .revoked]) func beyondMemoryIsAFault(mode: KVMMode) throws {
        let regions = try [2, 16].map {
            try PageRange(address: GuestPhysicalAddress($0 * Self.mebibyte), byteCount: 2 * Self.mebibyte)
        }
        let guest = GuestConfiguration(layout: try GuestMemoryLayout(regions: regions))
        let real = try KVMBackend(guest, mode: mode)
        defer { real.shutDown() }
        let agents = [try #require(real.guestAgent), SimulationBackend(guest: guest) as any GuestAgent]
        for (number, access) in Self.accesses.enumerated() {
            let address = GuestPhysicalAddress(access.address)
            let bytes = [UInt8](repeating: UInt8(number + 1), count: access.count)
            for operation in [
                GuestOperation.write(bytes, to: address), .read(count: access.count, from: address),
                // What was stored before the end is there.
                .read(count: 4, from: GuestPhysicalAddress(4 * Self.mebibyte - 4)),
            ] {
                let outcomes = try agents.map { try $0.perform(operation, on: 0, answeringTo: Refusing()) }
                #expect(outcomes[0] == outcomes[1], "\(access): \(operation)")
            }
        }
    }
}
