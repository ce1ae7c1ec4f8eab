import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Synchronization
import Testing

/// Many threads on one controller, on real time. `CustodyStress` does the same millions of times.
@Suite(.timeLimit(.minutes(60)), .serialized) struct StressTests {
    @Test func manyOperationsOfEightThreads() throws {
        let seed = Seed.value()
        print("Stress: CUSTODY_SEED=\(seed)")
        let report = try StressReport(operations: 20_001, seed: seed)
        #expect(report.wrong == [], "CUSTODY_SEED=\(seed)")
        #expect(report.operations == 20_001 && report.handovers > 0)
        #expect(report.kinds.allSatisfy { $0.count > 0 }, "\(report)")
    }

    /// The bytes of a page that is private for a while are never seen by the host, whatever it does meanwhile.
    @Test func secretsStayWithTheGuest() throws {
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<8), processors: 8)
        )
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let leaks = Atomic<Int>(0)
        let secrets = Atomic<Int>(0)
        try ThreadCrew(8).run { number in
            let secret = [UInt8](repeating: 0x5a, count: 16)
            let address = GuestPhysicalAddress(UInt64(number / 2) * 4096)
            for _ in 0..<400 {
                if number % 2 == 0 {
                    // The guest: private, a secret, and shared again; sharing zeroes the page.
                    let ask = GuestOperation.request(address: address.rawValue, byteCount: 4096, target: .private)
                    guard case .reply(.done)? = try? backend.perform(ask, on: number, answeringTo: controller) else {
                        backend.executor.drain()
                        continue
                    }
                    _ = try? backend.perform(.write(secret, to: address), on: number, answeringTo: controller)
                    secrets.add(1, ordering: .relaxed)
                    let back = GuestOperation.request(address: address.rawValue, byteCount: 4096, target: .shared)
                    _ = try? backend.perform(back, on: number, answeringTo: controller)
                } else {
                    var bytes = [UInt8](repeating: 0, count: 16)
                    var span = bytes.mutableSpan
                    try? controller.read(&span, from: address, for: Holder(device: "t\(number)"))
                    span = bytes.mutableSpan
                    try? backend.read(&span, from: address)
                    if bytes.contains(0x5a) { leaks.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(leaks.load(ordering: .relaxed) == 0)
        #expect(secrets.load(ordering: .relaxed) > 0)
    }
}
