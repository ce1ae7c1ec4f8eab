import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@testable import CustodyPolicy

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

#if DEBUG
    /// What is done while the controller's lock is held, counted at *n* runs and at sixteen times as many: how often it is taken,
    /// and how many pieces of page maps are looked at in one go.
    @Suite(.timeLimit(.minutes(60))) struct LockCostTests {
        enum Operation: String, CaseIterable, Codable, Sendable {
            case guestRequest, guestPage, conversion, lease, discard, runs, snapshot, addListener, restore

            /// How often it takes the lock, and the most pieces that it looks at in one go.
            var bound: (acquisitions: UInt64, pieces: Int) {
                switch self {
                // One to decide about the whole of it, one to look at each of its eight runs, two to convert each of four.
                case .guestRequest: (17, 20)
                case .guestPage: (4, 3)
                case .conversion: (2, 3)
                case .lease: (2, 1)
                case .discard: (2, 0)
                case .runs: (1, 0)
                case .snapshot: (1, 0)
                case .addListener: (1, 0)
                case .restore: (2, 16)
                }
            }

            /// Does it on a controller whose pages are shared and private by turns.
            func cost(runs: UInt64) throws -> (acquisitions: UInt64, pieces: Int) {
                let (backend, controller) = try Operation.controller(runs)
                let middle = try PageRange(pages: (runs / 2)..<(runs / 2 + 1))
                let listener = RecordingListener(bounds: controller.layout.bounds)
                if self == .restore { return try Operation.restoring(runs, pending: 8) }
                let before = controller.state.acquisitions
                _ = controller.state.takeMostPieces()
                try withExtendedLifetime(backend) {
                    switch self {
                    case .guestRequest:
                        let request = GuestRequest(processor: 0, address: 0, byteCount: runs * 4096, target: .private)
                        let reply = controller.handle(request)
                        guard case .retry = reply else { throw Unexpected(reply: "\(reply)") }
                    case .guestPage:
                        let address = middle.address.rawValue
                        let request = GuestRequest(processor: 0, address: address, byteCount: 4096, target: .private)
                        let reply = controller.handle(request)
                        guard reply == .done else { throw Unexpected(reply: "\(reply)") }
                    case .conversion:
                        _ = try controller.convert(ConversionRequest(middle, to: .private, by: .host("vmm")))
                    case .lease: try controller.lease(middle, .pin, for: Holder(device: "nic")).release()
                    case .discard: try controller.discard(middle)
                    case .runs: _ = controller.runs(in: controller.layout.bounds)
                    case .snapshot: _ = controller.snapshot()
                    case .addListener: _ = try controller.add(listener)
                    case .restore: break
                    }
                }
                let pieces = controller.state.takeMostPieces()
                return (controller.state.acquisitions - before - 1, pieces)
            }

            private static func controller(_ runs: UInt64) throws -> (FakeBackend, MemoryController) {
                let layout = try GuestMemoryLayout(pages: 0..<runs)
                let backend = FakeBackend(layout, executor: VirtualExecutor())
                let pages = try alternate(runs)
                backend.startFrom { map in for page in pages { map.set(page, to: .private) } }
                let limits = ControllerLimits(runsPerGuestRequest: 8)
                return (backend, MemoryController(backend: backend, policy: AllowAll(), limits: limits))
            }

            /// Every other page.
            private static func alternate(_ runs: UInt64) throws -> [PageRange] {
                try stride(from: 1, to: runs, by: 2).map { try PageRange(PageNumber($0)) }
            }

            /// A snapshot with so many hand-overs that wait is gone on from.
            private static func restoring(_ runs: UInt64, pending: UInt64) throws -> (UInt64, Int) {
                let (backend, before) = try controller(runs)
                var leases: [LeaseBox] = []
                for number in 0..<pending {
                    let page = try PageRange(PageNumber(2 * number))
                    leases.append(LeaseBox(try before.lease(page, .pin, for: Holder(device: "nic"))))
                    _ = try before.convert(
                        ConversionRequest(page, to: .private, by: .host("vmm"), whenHeld: .handOver(deadline: nil))
                    )
                }
                let snapshot = before.snapshot()
                for lease in leases { lease.release() }
                let again = FakeBackend(before.layout, executor: VirtualExecutor())
                let pages = try alternate(runs)
                again.startFrom { map in for page in pages { map.set(page, to: .private) } }
                let after = MemoryController(backend: again, policy: AllowAll(), restoring: snapshot)
                guard after.pendingTickets.count == Int(pending) else { throw Unexpected(reply: "none pending") }
                let acquisitions = after.state.acquisitions - 2
                return withExtendedLifetime(backend) { (acquisitions, after.state.takeMostPieces()) }
            }
        }

        private struct Unexpected: Error { let reply: String }

        /// In a process of its own, where nobody else looks at maps.
        @Test(arguments: Operation.allCases) func theWorkUnderTheLockDoesNotGrow(operation: Operation) async {
            let output = [\ExitTest.Result.standardOutputContent]
            let result = await #expect(processExitsWith: .success, observing: output) { [operation] in
                var isBounded = true
                for runs in [512, 16 * 512] as [UInt64] {
                    let cost = try operation.cost(runs: runs)
                    let (acquisitions, pieces) = operation.bound
                    print("\(operation) at \(runs) runs: \(cost.acquisitions) acquisitions, \(cost.pieces) pieces")
                    isBounded = isBounded && cost.acquisitions == acquisitions && cost.pieces <= pieces
                }
                exit(isBounded ? EXIT_SUCCESS : 10)
            }
            let lines = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n")
            for line in lines where line.contains(" runs: ") { print(line) }
        }
    }
#endif
