import CKVM
import Custody
import CustodyPolicy
import SystemPackage
import Testing

@testable import KVMBackend

/// The pages that a guest has written, as KVM notes them: on the real kernel, and on the fake with the same words.
@Suite(.timeLimit(.minutes(60))) struct DirtyLogTests {
    /// A way to note what is written, on a kernel.
    struct Log: Sendable, CustomTestStringConvertible {
        let kernel: TestKernel
        let choice: DirtyLogChoice
        /// Whether `KVM_CLEAR_DIRTY_LOG` is there.
        var isProtectionManual = true

        var testDescription: String {
            "\(choice)\(isProtectionManual ? "" : ", cleared as it is read") on \(kernel.testDescription)"
        }

        static let all: [Log] = TestKernel.both.flatMap { kernel in
            [
                Log(kernel: kernel, choice: .bitmap),
                Log(kernel: kernel, choice: .bitmap, isProtectionManual: false),
                Log(kernel: kernel, choice: .ring(entries: 256)), Log(kernel: kernel, choice: .ring(entries: 4096)),
            ]
        }

        /// The kernel, without `KVM_CLEAR_DIRTY_LOG` where that is asked for.
        func makeKernel() throws -> any Kernel {
            let kernel = try kernel.make()
            return isProtectionManual ? kernel : WithoutCapability(.manualDirtyLogProtect, kernel)
        }

        func backend(pages: UInt64 = 512, processors: Int = 1) throws -> KVMBackend {
            try KVMBackend(
                Guests.configuration(pages: pages, processors: processors),
                mode: .revoked,
                dirtyLog: choice,
                kernel: makeKernel(),
                slotLimit: nil
            )
        }
    }

    @Test(arguments: Log.all) func collectTellsExactlyWhatTheGuestWrote(log: Log) throws {
        let backend = try log.backend()
        let dirty = try #require(backend.dirtyLog)
        // Before the start: not noted.
        try backend.write(1, 7)
        try dirty.start()
        #expect(try dirty.pages() == [])
        try backend.write(1, 3)
        try backend.write(2, 4, 100)
        // Across the border of two pages.
        #expect(try backend.guestWrite([UInt8](repeating: 5, count: 16), to: Guests.address(200, 4088)) == .written)
        #expect(try dirty.pages() == [3, 4, 100, 200, 201])
        // They stay dirty until they are cleared.
        #expect(try dirty.pages() == [3, 4, 100, 200, 201])
        try dirty.clear(Guests.range(4, 97))
        #expect(try dirty.pages() == [3, 200, 201])
        try dirty.clear(Guests.range(0, 512))
        #expect(try dirty.pages() == [])
        // A page that was cleared is noted again.
        try backend.write(9, 3)
        #expect(try dirty.pages() == [3])
        // KVM may map a page that was merely read as one that can be written, and then has to note it.
        #expect(try backend.guestRead(8, from: Guests.address(10)) == .bytes([UInt8](repeating: 0, count: 8)))
        #expect(try dirty.pages().filter { $0 != 10 } == [3])
        try dirty.stop()
        try dirty.stop()
        try backend.write(9, 50)
        // The next start begins anew.
        try dirty.start()
        #expect(try dirty.pages() == [])
        try backend.write(9, 51)
        #expect(try dirty.pages() == [51])
    }

    /// What the host writes, a device's data through a lease say, is as dirty as what the guest writes, and so is what it
    /// drops.
    @Test(arguments: Log.all) func theHostsWritesAreNoted(log: Log) throws {
        let backend = try log.backend()
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let dirty = try #require(backend.dirtyLog)
        try backend.hostWrite([1], to: Guests.address(2))
        try dirty.start()
        #expect(try dirty.pages() == [])
        let lease = try controller.lease(Guests.range(8, 4), .pin, for: Holder(device: "net", purpose: "receive"))
        try lease.write([1, 2, 3, 4].span, to: Guests.address(8, 4094))
        #expect(try dirty.pages() == [8, 9])
        try dirty.clear(Guests.range(0, 512))
        _ = try backend.hostRead(4096, from: Guests.address(20))
        #expect(try dirty.pages() == [])
        try backend.discardContents(of: Guests.range(9, 2))
        #expect(try dirty.pages() == [9, 10])
        // One that comes between asking and clearing is not cleared.
        try backend.hostWrite([1], to: Guests.address(30))
        try dirty.clear(Guests.range(0, 512))
        #expect(try dirty.pages() == [30])
        // A write that is stopped has written nothing, or what it has is noted.
        lease.release()
        try backend.change(Guests.range(41, 1), from: .shared, to: .private)
        try dirty.clear(Guests.range(0, 512))
        #expect(throws: BackendError.self) {
            try backend.hostWrite([UInt8](repeating: 1, count: 16), to: Guests.address(40, 4088))
        }
        #expect(try dirty.pages().contains(40))
        try dirty.stop()
        try backend.hostWrite([1], to: Guests.address(50))
        try dirty.start()
        #expect(try dirty.pages() == [])
    }

    /// What comes in between asking and clearing is not forgotten, by whatever way it is found.
    @Test(arguments: Log.all) func whatIsWrittenAfterItWasAskedForIsNotCleared(log: Log) throws {
        let backend = try log.backend(pages: 1024)
        let dirty = try #require(backend.dirtyLog)
        try dirty.start()
        try backend.write(1, 3)
        #expect(try dirty.pages() == [3])
        // More than a small ring holds: it is emptied meanwhile.
        let many = Array(UInt64(0)..<300)
        for page in many { try backend.write(2, page) }
        // A slot goes, and with it what it knows.
        try backend.change(Guests.range(0, 100), from: .shared, to: .host)
        try dirty.clear(Guests.range(0, 1024))
        #expect(try dirty.pages() == many)
    }

    /// Conversions and slots that come and go lose nothing, and what is new logs.
    @Test(arguments: Log.all) func conversionsLoseNothing(log: Log) throws {
        let backend = try log.backend(processors: 2)
        let dirty = try #require(backend.dirtyLog)
        try dirty.start()
        var random = SystemRandomNumberGenerator()
        var state = [Ownership](repeating: .shared, count: 64)
        var expected: Set<UInt64> = []
        for _ in 0..<150 {
            let page = UInt64.random(in: 0..<64, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let target = [Ownership.shared, .private, .host].randomElement(using: &random) ?? .shared
                guard target != state[Int(page)] else { continue }
                try backend.change(Guests.range(page, 1), from: state[Int(page)], to: target)
                state[Int(page)] = target
            case 1:
                #expect(try Set(dirty.pages()) == expected)
                try dirty.clear(Guests.range(page, 64 - page))
                expected = expected.filter { $0 < page }
            default:
                let outcome = try backend.guestWrite([7], to: Guests.address(page), on: Int(page % 2))
                if state[Int(page)].allows(.guest) {
                    #expect(outcome == .written)
                    expected.insert(page)
                } else {
                    #expect(outcome == .fault(Guests.address(page)))
                }
            }
        }
        #expect(try Set(dirty.pages()) == expected)
    }

    /// A change that fails half-way and is taken back gives every slot its log again.
    @Test(arguments: Log.all) func aChangeThatFailsLosesNothing(log: Log) throws {
        let kernel = FailingKernel(try log.makeKernel()) { call in
            if case .ioctl(_, .setUserMemoryRegion, _) = call { true } else { false }
        }
        let backend = try KVMBackend(
            Guests.configuration(),
            mode: .revoked,
            dirtyLog: log.choice,
            kernel: kernel,
            slotLimit: nil
        )
        let dirty = try #require(backend.dirtyLog)
        try dirty.start()
        try backend.write(1, 3, 101, 500)
        for call in 1...3 {
            kernel.fail(call)
            #expect(throws: BackendError.self) {
                try backend.change(Guests.range(100, 2), from: .shared, to: .host)
            }
            #expect(kernel.failures == 1)
            kernel.fail(nil)
            try backend.write(1, UInt64(200 + call))
        }
        #expect(try dirty.pages() == [3, 101, 201, 202, 203, 500])
    }

    /// A processor writes without leaving the guest by itself; its ring is full again and again.
    @Test(arguments: Log.all) func aProcessorAtWorkIsFollowed(log: Log) throws {
        let pages: UInt64 = 1024
        let backend = try log.backend(pages: pages)
        let dirty = try #require(backend.dirtyLog)
        try dirty.start()
        let fill = GuestCommand.fill(pattern: 0x11, address: Guests.base, count: pages * 4096)
        guard case .done = try backend.execute(fill, on: 0, answeringTo: Refusing()) else { throw Unexpected.outcome }
        #expect(try dirty.pages() == Array(0..<pages))
        try dirty.clear(Guests.range(0, pages))
        let end = Monitor(false)
        try Thread.start {
            for _ in 0..<3 { _ = try? backend.execute(fill, on: 0, answeringTo: Refusing()) }
            end.update { $0 = true }
        }
        // Collected and cleared while it writes: what is found in all rounds together is all.
        var found: Set<UInt64> = []
        while end.wait(for: .milliseconds(2), { $0 ? () : nil }) == nil {
            found.formUnion(try dirty.pages())
            try dirty.clear(Guests.range(0, pages))
        }
        found.formUnion(try dirty.pages())
        #expect(found == Set(0..<pages))
    }

    @Test(arguments: Log.all) func misuseIsRefused(log: Log) throws {
        let backend = try log.backend()
        let dirty = try #require(backend.dirtyLog)
        for use in [
            { _ = try dirty.collect() }, { try dirty.clear(Guests.range(0, 1)) },
            {
                try dirty.start()
                try dirty.start()
            },
        ] as [() throws -> Void] {
            let error = #expect(throws: BackendError.self) { try use() }
            #expect(error?.code == .invalidArgument)
        }
        try dirty.stop()
        let capability: Capabilities.DirtyLog = log.choice == .bitmap ? .bitmap : .ring
        #expect(backend.capabilities.dirtyLog == capability)
    }

    // MARK: What can be chosen

    /// KVM takes no log for a slot with a guest_memfd: the real one says so itself (R2), and so does the back end.
    @Test(arguments: ModeUnderTest.all) func theModesSayWhetherTheyCan(tested: ModeUnderTest) throws {
        let backend = try tested.backend(pages: 64)
        #expect((backend.dirtyLog != nil) == (tested.mode == .revoked))
        #expect(backend.capabilities.dirtyLog == (tested.mode == .revoked ? .bitmap : .none))
        guard tested.mode != .revoked else { return }
        let error = #expect(throws: BackendError.self) {
            _ = try KVMBackend(
                Guests.configuration(),
                mode: tested.mode,
                dirtyLog: .bitmap,
                kernel: tested.makeKernel(),
                slotLimit: nil
            )
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("guest_memfd") == true)
    }

    @Test func aLogCanBeTurnedOff() throws {
        let backend = try KVMBackend(
            Guests.configuration(),
            mode: .revoked,
            dirtyLog: DirtyLogChoice.none,
            kernel: FakeKernel(.plain),
            slotLimit: nil
        )
        #expect(backend.dirtyLog == nil)
        #expect(backend.capabilities.dirtyLog == .none)
    }

    @Test(arguments: [0, 128, 257, 65537]) func sizesOfRingsAreChecked(entries: Int) throws {
        let error = #expect(throws: BackendError.self) {
            _ = try KVMBackend(
                Guests.configuration(),
                mode: .revoked,
                dirtyLog: .ring(entries: entries),
                kernel: FakeKernel(.plain),
                slotLimit: nil
            )
        }
        #expect(error?.code == .invalidArgument)
    }

    @Test func aKernelWithoutRingsSaysSo() throws {
        var features = FakeFeatures.plain
        features.dirtyLogRing = 0
        let kernel = try FakeKernel(features)
        let error = #expect(throws: BackendError.self) {
            _ = try KVMBackend(
                Guests.configuration(),
                mode: .revoked,
                dirtyLog: .ring(entries: 256),
                kernel: kernel,
                slotLimit: nil
            )
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("KVM_CAP_DIRTY_LOG_RING_ACQ_REL is 0") == true)
    }

    @Test(arguments: [0, 1, 63, 64, 65, 4096]) func bitsAreRuns(count: Int) throws {
        let range = try Guests.range(0, 4096)
        for step in [1, 2, 7, 64, 65] {
            let pages = stride(from: 0, to: count, by: step).map(UInt64.init)
            var bitmap = [UInt64](repeating: 0, count: 64)
            for page in pages { bitmap[Int(page / 64)] |= 1 << (page % 64) }
            var found: [UInt64] = []
            var runs = 0
            DirtyTracker.forEachRun(of: bitmap, in: range) { run in
                runs += 1
                for page in run.start.rawValue..<run.end { found.append(page - range.start.rawValue) }
            }
            #expect(found == pages)
            #expect(runs == (step == 1 ? (count == 0 ? 0 : 1) : pages.count))
        }
    }
}

/// A kernel that says of one capability that it has not got it.
final class WithoutCapability: Kernel {
    private let capability: KVMCapability
    private let base: any Kernel

    init(_ capability: KVMCapability, _ base: any Kernel) {
        self.capability = capability
        self.base = base
    }

    func perform(_ call: SystemCall) throws(Errno) -> Int {
        if case .ioctl(_, .checkExtension, UInt(capability.rawValue)) = call { return 0 }
        return try base.perform(call)
    }
}

extension DirtyLog {
    /// The numbers of the pages that are dirty, counted from the first page of RAM.
    fileprivate func pages() throws -> [UInt64] {
        let map = try collect()
        let first = Guests.base / 4096
        return map.runs.filter(\.state).flatMap { ($0.range.start.rawValue - first)..<($0.range.end - first) }
    }
}

extension KVMBackend {
    /// Has the guest write a byte to pages.
    fileprivate func write(_ byte: UInt8, _ pages: UInt64...) throws {
        for page in pages { try #require(try guestWrite([byte], to: Guests.address(page)) == .written) }
    }
}
