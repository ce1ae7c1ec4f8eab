import Custody
import CustodyPolicy
import SystemPackage
import Testing

@testable import KVMBackend

/// The mode `attributes`: two memories for one page, of which one is there.
@Suite(.timeLimit(.minutes(60))) struct AttributesTests {
    private let fake: FakeKernel

    init() throws { fake = try FakeKernel(.attributes) }

    /// Memory is never there twice, whatever the order of conversions.
    @Test(arguments: 0..<4) func memoryIsNotDoubled(seed: UInt64) throws {
        let backend = try Guests.backend(.attributes, pages: 64, kernel: fake)
        var generator = Generator(state: seed &* 7919 &+ 1)
        var ownership = [Ownership](repeating: .shared, count: 64)
        for page in UInt64(0)..<64 { try backend.hostWrite([1], to: Guests.address(page)) }
        #expect(fake.presentPages == 64)
        for _ in 0..<200 {
            let first = Int(generator.next() % 64)
            let end = ownership[first...].prefix { $0 == ownership[first] }.endIndex
            let length = Int(generator.next() % UInt64(end - first)) + 1
            let target: Ownership = [.shared, .private, .host][Int(generator.next() % 3)]
            guard target != ownership[first] else { continue }
            let range = try Guests.range(UInt64(first), UInt64(length))
            let undoes = generator.next() % 4 == 0
            if undoes {
                try backend.undo(try backend.commitOnly(range, from: ownership[first], to: target))
            } else {
                try backend.change(range, from: ownership[first], to: target)
                for page in first..<first + length { ownership[page] = target }
            }
            // Both sides touch what they may.
            for page in first..<first + length {
                let address = Guests.address(UInt64(page))
                if ownership[page].allows(.host) { try backend.hostWrite([2], to: address) }
                if ownership[page].allows(.guest) { _ = try backend.guestWrite([3], to: address) }
            }
            #expect(fake.presentPages == 64)
        }
    }

    /// What an access of the guest's implies is asked for, whoever runs the guest: here a monitor of its own.
    @Test func aMonitorsGuestAsksByItsAccesses() throws {
        let backend = try Guests.backend(.attributes, pages: 64, kernel: fake)
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let monitor = try ProgramMonitor(backend, requests: controller)
        let pages = UInt64(3)..<43
        for page in pages { fake.setView(.private, of: Guests.address(page).page) }
        let address = Guests.address(3).rawValue
        let fill = GuestCommand.fill(pattern: 0x0707_0707_0707_0707, address: address, count: 40 * 4096)
        #expect(try monitor.perform(fill) == ProgramMonitor.idle)
        for page in pages { #expect(controller.ownership(of: Guests.address(page).page) == .private) }
        #expect(monitor.others.isEmpty)
        // Where it is refused the monitor is asked, as for any exit.
        fake.setView(.private, of: Guests.address(50).page)
        let strict = try ProgramMonitor(backend)
        let exit = try strict.perform(.write([1], address: Guests.address(50).rawValue))
        #expect(exit == .memoryFault(.init(address: Guests.address(50), size: 4096, isPrivate: true)))
        #expect(strict.others == [exit])
    }

    /// As many pages in a row as the guest likes: each is a fault of its own.
    @Test func faultsInARowAreNoLoop() throws {
        let backend = try Guests.backend(.attributes, pages: 64, kernel: fake)
        let controller = MemoryController(backend: backend, policy: AllowAll())
        for page in UInt64(3)..<43 { fake.setView(.private, of: Guests.address(page).page) }
        let fill = GuestCommand.fill(pattern: 7, address: Guests.address(3).rawValue, count: 40 * 4096)
        guard case .done = try backend.execute(fill, on: 0, answeringTo: controller) else { throw Unexpected.outcome }
        for page in UInt64(3)..<43 { #expect(controller.ownership(of: Guests.address(page).page) == .private) }
    }

    /// A page that is held is waited for, and a stop ends the wait.
    @Test func aFaultThatWaitsCanBeStopped() throws {
        let backend = try Guests.backend(.attributes, pages: 64, kernel: fake)
        fake.setView(.private, of: Guests.address(3).page)
        let isAsked = Monitor(0)
        let busy = Answering { _ in
            isAsked.update { $0 += 1 }
            return .retry(from: Guests.address(3))
        }
        let monitor = try ProgramMonitor(backend, requests: busy)
        #expect(try monitor.run() == ProgramMonitor.idle)
        try #require(backend.program.memory.mailbox(of: 0)).put(.write([1], address: Guests.address(3).rawValue))
        let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
        try monitor.processor.start(monitor, answeringRequestsWith: busy) { result in end.update { $0 = result } }
        _ = isAsked.wait { $0 > 2 ? () : nil }
        monitor.processor.stop()
        #expect(try #require(end.wait(for: .seconds(20)) { $0 }).get() == .interrupted)
        #expect(monitor.others.isEmpty)
    }

    /// A kernel that says a hole is made and makes none is found out, and what is still there is never handed out.
    @Test func whatIsNotDroppedIsFoundOut() throws {
        let lying = LyingKernel(fake)
        let backend = try Guests.backend(.attributes, pages: 64, kernel: lying)
        try backend.hostWrite([7], to: Guests.address(3))
        lying.isLying.update { $0 = true }
        try backend.change(Guests.range(3, 1), from: .shared, to: .private)
        #expect(fake.presentPages == 1)
        let error = #expect(throws: BackendError.self) {
            _ = try backend.prepare(
                OwnershipChange(range: Guests.range(3, 1), from: .private, to: .shared, initiator: .guest)
            )
        }
        #expect(error?.code == .resourcesExhausted)
        lying.isLying.update { $0 = false }
        try backend.change(Guests.range(3, 1), from: .private, to: .shared)
        #expect(try backend.hostRead(1, from: Guests.address(3)) == [0])
    }

    /// Takes calls for holes, and makes none.
    private final class LyingKernel: Kernel {
        let isLying = Monitor(false)
        private let kernel: FakeKernel

        init(_ kernel: FakeKernel) { self.kernel = kernel }

        func perform(_ call: SystemCall) throws(Errno) -> Int {
            if case .punchHole = call, isLying.update({ $0 }) { return 0 }
            return try kernel.perform(call)
        }
    }

    /// The order of calls: giving and taking, away from the host first and to the host last, the other memory dropped at
    /// the end.
    @Test func theOrderFollowsTheDirection() throws {
        let recording = FailingKernel(fake) { call in
            switch call {
            case .ioctl(_, .setMemoryAttributes, _), .ioctl(_, .setUserMemoryRegion, _),
                .ioctl(_, .setUserMemoryRegion2, _), .punchHole, .seekData:
                true
            default: false
            }
        }
        let backend = try Guests.backend(.attributes, kernel: recording)
        func calls(_ from: Ownership, _ to: Ownership) throws -> [String] {
            recording.fail(nil)
            try backend.change(Guests.range(4, 2), from: from, to: to)
            return recording.calls.map(\.name)
        }
        let attributes = "KVM_SET_MEMORY_ATTRIBUTES"
        let remove = "KVM_SET_USER_MEMORY_REGION"
        let add = "KVM_SET_USER_MEMORY_REGION2"
        #expect(try calls(.shared, .private) == [attributes, "fallocate", "lseek"])
        #expect(try calls(.private, .shared) == [attributes, "fallocate"])
        #expect(try calls(.shared, .host) == [remove, add, add])
        #expect(try calls(.host, .private) == [attributes, remove, remove, add, "fallocate", "lseek"])
        #expect(try calls(.private, .host) == [remove, add, add, attributes, "fallocate"])
        #expect(try calls(.host, .shared) == [remove, remove, add])
    }

    // MARK: Implicit conversions

    /// A guest that takes a page for what it is not asks by its mere access; the controller converts, and it goes on.
    @Test func anAccessAsksForAConversion() throws {
        let backend = try Guests.backend(.attributes, kernel: fake)
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let page = try Guests.range(4, 1)
        let agent = try #require(backend.guestAgent)
        fake.setView(.private, of: page.start)
        #expect(try agent.perform(.write([5], to: page.address), on: 0, answeringTo: controller) == .written)
        #expect(controller.ownership(of: page.start) == .private)
        #expect(backend.hostError(at: page.address)?.code == .accessDenied)
        #expect(try agent.perform(.read(count: 1, from: page.address), on: 0, answeringTo: controller) == .bytes([5]))

        fake.setView(.shared, of: page.start)
        #expect(try agent.perform(.write([6], to: page.address), on: 0, answeringTo: controller) == .written)
        #expect(controller.ownership(of: page.start) == .shared)
        #expect(try backend.hostRead(1, from: page.address) == [6])
    }

    @Test func theRequestIsOfThePage() throws {
        let backend = try Guests.backend(.attributes, processors: 2, kernel: fake)
        let agent = try #require(backend.guestAgent)
        fake.setView(.private, of: try Guests.range(4, 1).start)
        let handler = Answering { _ in .refused }
        let address = Guests.address(4, 123)
        let outcome = try agent.perform(.write([5], to: address), on: 1, answeringTo: handler)
        #expect(outcome == .fault(Guests.address(4)))
        #expect(
            handler.requests == [
                GuestRequest(processor: 1, address: Guests.address(4).rawValue, byteCount: 4096, target: .private)
            ]
        )
        // The processor is there for what comes next.
        #expect(try backend.guestWrite([1], to: Guests.address(5), on: 1) == .written)
    }

    /// A handler that says ‘done’ and does nothing does not keep the processor for ever.
    @Test func anEmptyPromiseEnds() throws {
        let backend = try Guests.backend(.attributes, kernel: fake)
        let agent = try #require(backend.guestAgent)
        fake.setView(.private, of: try Guests.range(4, 1).start)
        let handler = Answering { _ in .done }
        let outcome = try agent.perform(.write([5], to: Guests.address(4)), on: 0, answeringTo: handler)
        #expect(outcome == .fault(Guests.address(4)))
        #expect(handler.requests.count == 15)
    }

    /// While the host holds the page the guest waits, and goes on by itself.
    @Test func aHeldPageHoldsTheGuestUp() throws {
        let backend = try Guests.backend(.attributes, kernel: fake)
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let page = try Guests.range(4, 1)
        fake.setView(.private, of: page.start)
        let lease = try controller.lease(page, .pin, for: Holder(device: "disk"))
        let kept = Monitor<HostLeaseBox?>(HostLeaseBox(lease))
        backend.executor.submit(at: backend.executor.now.advanced(by: .milliseconds(20))) { kept.update { $0 = nil } }
        let agent = try #require(backend.guestAgent)
        #expect(try agent.perform(.write([5], to: page.address), on: 0, answeringTo: controller) == .written)
        #expect(controller.ownership(of: page.start) == .private)
    }

    private final class HostLeaseBox: Sendable {
        let lease: HostLease
        init(_ lease: consuming HostLease) { self.lease = lease }
    }
}
