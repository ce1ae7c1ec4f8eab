import Custody
import CustodyOptions
import CustodyPolicy
import CustodyTestSupport
import Glibc
import SystemPackage
import Testing

@testable import KVMBackend

/// Memory in a virtual machine that a monitor has made: with its slots, its processors and its loop.
@Suite(.timeLimit(.minutes(60))) struct AdoptionTests {
    private static let page = GuestPhysicalAddress(16 << 20)

    /// What the guest finds at an address: bytes, or nothing.
    private func found(_ monitor: HostingMonitor, _ count: Int = 2, at address: GuestPhysicalAddress) throws -> [UInt8]?
    {
        switch try monitor.guest.guestRead(count, from: address, on: 1) {
        case .bytes(let bytes): bytes
        case .fault: nil
        default: throw Unexpected.outcome
        }
    }

    /// From the monitor to the package and back, with the machine's own memory as it was all the time.
    @Test(arguments: ModeUnderTest.all) func aBankComesAndGoes(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let own = Guests.address(7)
        #expect(try monitor.guest.guestWrite([7, 8], to: own) == .written)
        #expect(try found(monitor, at: AdoptionTests.page) == nil)

        let backend = try monitor.lend(tested.mode)
        let mappings = backend.hostMappings
        #expect(monitor.words == [.paused, .arrived(mappings), .resumed])
        #expect(mappings.map(\.range) == backend.layout.regions)
        #expect(mappings[1].address - mappings[0].address == 4 << 20)
        #expect(code { try backend.addReadOnlyMemory([1], at: GuestPhysicalAddress(32 << 20)) } == .unsupported)
        #expect(code { try monitor.guest.handBack() } == .unsupported)
        #expect(backend.guestAgent == nil && backend.dirtyLog == nil && backend.processor(0) == nil)
        for mapping in mappings { #expect(try found(monitor, at: mapping.range.address) == monitor.firmware) }

        // One memory: the guest's, this process's by a pointer, and the back end's.
        #expect(try monitor.guest.guestWrite([1, 2, 3], to: GuestPhysicalAddress((20 << 20) + 100)) == .written)
        #expect(Touch.read(3, at: mappings[1].address + 100).bytes == [1, 2, 3])
        #expect(try backend.hostRead(3, from: GuestPhysicalAddress((20 << 20) + 100)) == [1, 2, 3])

        // It changes hands as in a machine of the back end's own.
        let range = try PageRange(pages: (16 << 8)..<(16 << 8) + 3)
        try backend.change(range, from: .shared, to: .private)
        if let byte = tested.afterConversion(0xC0) { #expect(try found(monitor, 1, at: range.address) == [byte]) }
        #expect(backend.hostError(at: range.address)?.code == .accessDenied)
        #expect(throws: BackendError.self) { try backend.handBack() }
        #expect(try monitor.guest.guestWrite([9], to: range.address) == .written)
        try backend.change(range, from: .private, to: .shared)
        if let byte = tested.afterConversion(9) { #expect(try backend.hostRead(1, from: range.address) == [byte]) }
        try backend.change(range, from: .shared, to: .host)
        #expect(try found(monitor, at: range.address) == nil)
        try backend.change(range, from: .host, to: .shared)

        monitor.forget()
        try backend.handBack()
        #expect(monitor.words == [.paused, .left(mappings), .resumed])
        #expect(try found(monitor, at: AdoptionTests.page) == nil)
        // The bytes are the monitor's to take until the back end is gone.
        #expect(Touch.read(3, at: mappings[1].address + 100).bytes == [1, 2, 3])
        #expect(code { try backend.change(range, from: .shared, to: .private) } == .lost)
        #expect(code { try backend.handBack() } == .lost)
        #expect(try monitor.guest.guestRead(2, from: own) == .bytes([7, 8]))
        monitor.forget()
        backend.shutDown()
        #expect(monitor.words == [])
    }

    private func code(_ body: () throws -> Void) -> BackendError.Code? {
        do { try body() } catch { return (error as? BackendError)?.code }
        return nil
    }

    /// Two banks of one machine, each with a back end of its own.
    @Test(arguments: ModeUnderTest.all) func banksAreLentOneByOne(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let kernel = monitor.guest.machine.virtualMachine.descriptor.kernel
        let banks = try HostingMonitor.bank.regions.enumerated().map { index, region in
            var machine = monitor.machine
            machine.slots = UInt32(300 + 50 * index)...UInt32(349 + 50 * index)
            let layout = try GuestMemoryLayout(regions: [region])
            return try KVMBackend(adopting: machine, layout: layout, mode: tested.mode, kernel: kernel)
        }
        try banks[0].change(banks[0].layout.bounds, from: .shared, to: .private)
        #expect(code { try banks[0].handBack() } == .busy)
        try banks[1].handBack()
        #expect(try found(monitor, at: banks[1].layout.bounds.address) == nil)
        #expect(try found(monitor, at: banks[0].layout.bounds.address) != nil)
    }

    /// What goes back is shared, and nothing is on its way.
    @Test(arguments: ModeUnderTest.all) func whatIsPrivateDoesNotGoBack(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let backend = try monitor.lend(tested.mode)
        let last = try PageRange(PageNumber((20 << 8) + 31))
        try backend.change(last, from: .shared, to: .private)
        monitor.forget()
        #expect(code { try backend.handBack() } == .busy)
        try backend.change(last, from: .private, to: .shared)
        let prepared = try backend.prepare(
            OwnershipChange(range: last, from: .shared, to: .private, initiator: .host)
        )
        #expect(code { try backend.handBack() } == .busy)
        prepared.cancel()
        #expect(!monitor.words.contains { if case .left = $0 { true } else { false } })
        try backend.handBack()
    }

    /// A back end that is shut down, or just gone, leaves no address of this process in the machine.
    @Test(arguments: ModeUnderTest.all, [true, false]) func nothingStaysInTheMachine(
        tested: ModeUnderTest,
        isToldTo: Bool
    )
        throws
    {
        let monitor = try HostingMonitor(tested)
        do {
            let backend = try monitor.lend(tested.mode)
            try backend.change(try PageRange(AdoptionTests.page.page), from: .shared, to: .private)
            monitor.forget()
            if isToldTo { backend.shutDown() }
        }
        #expect(monitor.words == [.paused, .resumed])
        #expect(try found(monitor, at: AdoptionTests.page) == nil)
        #expect(try found(monitor, at: GuestPhysicalAddress(20 << 20)) == nil)
        // The numbers and the place are free again.
        _ = try monitor.lend(tested.mode)
    }

    /// A change that was planned or made before the end does nothing after it: the guest would have memory that goes.
    @Test(arguments: ModeUnderTest.all, [true, false]) func noChangeComesAfterTheEnd(
        tested: ModeUnderTest,
        isMade: Bool
    )
        throws
    {
        let monitor = try HostingMonitor(tested)
        let backend = try monitor.lend(tested.mode)
        let range = try PageRange(AdoptionTests.page.page)
        var code: BackendError.Code?
        if isMade {
            let committed = try backend.commitOnly(range, from: .shared, to: .host)
            backend.shutDown()
            do throws(BackendError) { try backend.undo(committed) } catch { code = error.code }
        } else {
            try backend.change(range, from: .shared, to: .host)
            let change = OwnershipChange(range: range, from: .host, to: .shared, initiator: .host)
            let prepared = try backend.prepare(change)
            backend.shutDown()
            do throws(BackendError) { _ = try backend.commit(prepared) } catch { code = error.code }
        }
        #expect(code == .lost)
        #expect(try found(monitor, at: AdoptionTests.page) == nil)
        #expect(try found(monitor, at: GuestPhysicalAddress(20 << 20)) == nil)
    }

    /// Nor is memory let go that KVM does not take out of a machine again.
    @Test(arguments: ModeUnderTest.all) func memoryOfAFailedAdoptionStays(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let base = monitor.guest.machine.virtualMachine.descriptor.kernel
        let kernel = FailingKernel(base) { call in
            switch call {
            case .ioctl(_, .setUserMemoryRegion, _), .ioctl(_, .setUserMemoryRegion2, _): true
            default: false
            }
        }
        // The second region does not come, and the first one does not go.
        kernel.fail(2, always: true)
        #expect(code { _ = try monitor.lend(tested.mode, kernel: kernel) } == .system)
        #expect(kernel.failures == 2)
        #expect(try found(monitor, at: AdoptionTests.page) == monitor.firmware)
    }

    /// Where the processors cannot be taken out, the guest keeps what it has, however long.
    @Test(arguments: ModeUnderTest.all) func memoryThatCannotBeTakenOutStays(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        do {
            let backend = try monitor.lend(tested.mode)
            monitor.refuse(true)
            #expect(code { try backend.handBack() } == .guestFailed)
            #expect(try found(monitor, at: AdoptionTests.page) == monitor.firmware)
        }
        #expect(try found(monitor, at: AdoptionTests.page) == monitor.firmware)
        #expect(code { _ = try monitor.lend(tested.mode) } == .guestFailed)
    }

    /// A pause that fails changes nothing, and the next one may succeed.
    @Test(arguments: ModeUnderTest.all) func aChangeWaitsForThePause(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let backend = try monitor.lend(tested.mode)
        let range = try PageRange(AdoptionTests.page.page)
        monitor.refuse(true)
        let text = "the machine's monitor did not take its virtual processors out of the guest within 7.0 seconds"
        do {
            try backend.change(range, from: .shared, to: .host)
            throw Unexpected.outcome
        } catch let error as BackendError { #expect(error.code == .guestFailed && error.message == text) }
        #expect(try found(monitor, at: AdoptionTests.page) == monitor.firmware)
        monitor.refuse(false)
        try backend.change(range, from: .shared, to: .host)
        #expect(try found(monitor, at: AdoptionTests.page) == nil)
    }

    /// Through the controller, from within a request of the guest's, while another processor is at work.
    @Test(arguments: ModeUnderTest.all) func theGuestAsksWhileItRuns(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let backend = try monitor.lend(tested.mode)
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let handler = Answering { controller.handle($0) }
        let agent = try #require(monitor.guest.guestAgent)
        let isOver = Monitor(false)
        let work = Monitor(Optional<Bool>.none)
        try Thread.start {
            var isRight = true
            while !isOver.update({ $0 }) {
                let bytes = [UInt8](repeating: 3, count: 64)
                let address = Guests.address(20)
                isRight =
                    isRight && (try? monitor.guest.guestWrite(bytes, to: address, on: 1)) == .written
                    && (try? monitor.guest.guestRead(64, from: address, on: 1)) == .bytes(bytes)
            }
            work.update { [isRight] in $0 = isRight }
        }
        for round in 0..<100 {
            let target: Ownership = round % 2 == 0 ? .private : .shared
            let request = GuestOperation.request(address: 16 << 20, byteCount: 0x3000, target: target)
            #expect(try agent.perform(request, on: 0, answeringTo: handler) == .reply(.done))
        }
        isOver.update { $0 = true }
        #expect(work.wait(for: .seconds(600)) { $0 } == true)
        backend.shutDown()
    }

    // MARK: What is no machine, or has no room

    @Test(arguments: ModeUnderTest.all) func whatIsNoMachineIsRefused(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let kernel = monitor.guest.machine.virtualMachine.descriptor.kernel
        let device = try KVMDevice(kernel: kernel)
        let machine = monitor.machine.descriptor
        let processor = try OwnedDescriptor(.ioctl(machine, .createVCPU, argument: 5), of: kernel)
        let other = try OwnedDescriptor(.memfdCreate(name: "other"), of: kernel)
        for descriptor in [device.descriptor.rawValue, processor.rawValue, other.rawValue, 9999, -1] {
            var machine = monitor.machine
            machine.descriptor = descriptor
            let error = try #require(try refusal(of: machine, tested, kernel))
            #expect(error.code == .invalidArgument)
            let isDevice = descriptor == device.descriptor.rawValue
            #expect(
                error.message
                    == "descriptor \(descriptor) is no virtual machine of KVM's\(isDevice ? ", but /dev/kvm" : "")"
            )
        }
        #expect(monitor.words == [])
    }

    private func refusal(
        of machine: AdoptedMachine,
        _ tested: ModeUnderTest,
        _ kernel: any Kernel,
        _ layout: GuestMemoryLayout? = nil
    ) throws -> BackendError? {
        let layout = try layout ?? HostingMonitor.bank
        do throws(BackendError) {
            _ = try KVMBackend(adopting: machine, layout: layout, mode: tested.mode, kernel: kernel)
        } catch { return error }
        return nil
    }

    @Test(arguments: ModeUnderTest.all) func whatIsInTheWayIsNamed(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let kernel = monitor.guest.machine.virtualMachine.descriptor.kernel
        var machine = monitor.machine
        machine.slots = 300...317
        #expect(try refusal(of: machine, tested, kernel) == nil)
        for (slots, code, text) in [
            (
                300...316, BackendError.Code.resourcesExhausted,
                "2 regions of RAM need more than the 1 memory slots there are"
            ),
            (300...300, .resourcesExhausted, "2 regions of RAM need more than the 0 memory slots there are"),
            (300...200_000, .invalidArgument, "the slots 300...200000 are lent, and the machine has"),
            (1...50, .invalidArgument, "the machine has a slot of that number, which was lent"),
        ] as [(ClosedRange<UInt32>, BackendError.Code, String)] {
            machine.slots = slots
            let error = try #require(try refusal(of: machine, tested, kernel))
            #expect(error.code == code && error.message.hasPrefix(text), "\(error)")
        }
        // The second region lies on RAM of the monitor's: the first one is taken out again.
        let layout = try GuestMemoryLayout(regions: [
            PageRange(pages: (16 << 8)..<(16 << 8) + 64), PageRange(pages: (63 << 8)..<(65 << 8)),
        ])
        monitor.forget()
        let error = try #require(try refusal(of: monitor.machine, tested, kernel, layout))
        #expect(error.message == "the machine has memory there: its own slots have to go first")
        #expect((error.rootCause as? KVMError)?.errno == .fileExists)
        #expect(monitor.words.count == 4)
        if case .left(let mappings) = monitor.words[2] { #expect(mappings.map(\.range) == layout.regions) }
        #expect(try found(monitor, at: AdoptionTests.page) == nil)
    }

    /// Each mode is looked for in that machine, not in the kernel.
    @Test func aMachineWithoutPrivateMemoryHasNoAttributes() throws {
        let kernel = try FakeKernel(.attributes)
        let device = try KVMDevice(kernel: kernel)
        for (kind, code) in [
            (VirtualMachine.Kind.default, BackendError.Code.unavailable), (.softwareProtected, nil),
        ] as [(VirtualMachine.Kind, BackendError.Code?)] {
            let machine = try device.makeVirtualMachine(kind)
            let monitor = Standing()
            let adopted = AdoptedMachine(descriptor: machine.descriptor.rawValue, slots: 0...99, monitor: monitor)
            let layout = try HostingMonitor.bank
            #expect(
                self.code { _ = try KVMBackend(adopting: adopted, layout: layout, mode: .attributes, kernel: kernel) }
                    == code
            )
        }
    }

    /// A monitor whose machine has no processors.
    private final class Standing: MachineMonitor {
        func pauseProcessors(within limit: Duration) -> Bool { true }
        func resumeProcessors() {}
    }

    // MARK: Faults

    /// Every call of the adoption fails once with each error: nothing of it stays, and the next one succeeds.
    @Test(arguments: ModeUnderTest.all) func aFailedAdoptionLeavesNothing(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let kernel = SweepKernel(monitor.guest.machine.virtualMachine.descriptor.kernel)
        func live() throws(BackendError) {
            let backend = try monitor.lend(tested.mode, kernel: kernel)
            try backend.handBack()
        }
        try live()
        let nothing = kernel.open
        kernel.arm(nil)
        try live()
        var count = 0
        for (point, errors) in kernel.points {
            for errno in errors {
                kernel.arm(point, errno)
                do throws(BackendError) { try live() } catch {
                    #expect(errno != .interrupted || error.cause == nil, "\(point): \(error)")
                }
                #expect(kernel.hasFailed, "\(point) \(errno)")
                kernel.arm(nil)
                #expect(kernel.open == nothing, "\(point) \(errno)")
                #expect(try found(monitor, at: AdoptionTests.page) == nil, "\(point) \(errno)")
                try live()
                count += 1
            }
        }
        print("fault sweep, adoption, \(tested.testDescription): \(count) injection points")
        #expect(count > 50)
    }

    // MARK: By configuration

    @Test(arguments: ModeUnderTest.all) func aConfigurationChoosesTheMode(tested: ModeUnderTest) throws {
        let monitor = try HostingMonitor(tested)
        let kernel = monitor.guest.machine.virtualMachine.descriptor.kernel
        let provider = KVMBackendProvider(kernel: kernel, adopting: monitor.machine)
        let probes = provider.probe()
        #expect(probes.first { $0.mode == tested.mode.rawValue }?.unavailable == nil)
        #expect(probes.first { $0.mode == tested.mode.rawValue }?.capabilities != nil)
        let guest = GuestConfiguration(layout: try HostingMonitor.bank)
        var options = KVMOptions()
        options.mode = tested.mode
        let backend = try provider.makeBackend(for: guest, options: options)
        #expect(try found(monitor, at: AdoptionTests.page) == monitor.firmware)
        backend.shutDown()
        for (key, change) in [
            ("processors", { $0.processors = 2 }), ("dirty-log", { $0.dirtyLog = .bitmap }),
            ("kick-signal", { $0.kickSignal = 40 }),
        ] as [(String, (inout KVMOptions) -> Void)] {
            var options = options
            change(&options)
            do {
                _ = try provider.makeBackend(for: guest, options: options)
                Issue.record("\(key) is not refused")
            } catch { #expect("\(error)".contains("the key ‘\(key)’ says nothing of it"), "\(error)") }
        }
        options.mode = nil
        _ = try provider.makeBackend(for: guest, options: options)
    }

    // MARK: The monitor's own loop

    /// The two exits that ask for a conversion, as a monitor reads them, and what it stores.
    @Test func exitsAreRequests() throws {
        let fault = ProcessorExit.MemoryFault(flags: 1 << 3, address: 0x5000, size: 0x2000)
        #expect(
            fault.request(from: 3)
                == GuestRequest(processor: 3, address: 0x5000, byteCount: 0x2000, target: .private)
        )
        let shared = ProcessorExit.MemoryFault(flags: 0, address: .max, size: .max)
        #expect(shared.request(from: 0).target == .shared)
        let call = Hypercall(number: 12, arguments: [0x7000, 2, 1 << 4])
        let request = try #require(MapGPARange(call)).request(from: 1)
        #expect(request == GuestRequest(processor: 1, address: 0x7000, byteCount: 0x2000, target: .private))
        #expect(HypercallResult(GuestReply.done).rawValue == 0)
        #expect(HypercallResult(GuestReply.retry(from: GuestPhysicalAddress(0x8000))).rawValue == 0 &- 11)
        #expect(HypercallResult(GuestReply.refused).rawValue == 0 &- 22)
    }
}
