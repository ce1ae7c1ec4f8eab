import CKVM
import Custody
import Synchronization
import SystemPackage
import Testing

@testable import KVMBackend

/// The memory that the guest program lives in: nobody's but the program's, and only while that is at work.
@Suite(.timeLimit(.minutes(60))) struct ProgramSlotTests {
    private static func backend(_ kernel: TestKernel, regions: [(at: UInt64, size: UInt64)]) throws -> KVMBackend {
        let ranges = try regions.map { try PageRange(start: PageNumber($0.at / 4096), count: $0.size / 4096) }
        return try KVMBackend(
            GuestConfiguration(layout: GuestMemoryLayout(regions: ranges), processors: 1),
            mode: .dual,
            kernel: kernel.make(),
            slotLimit: nil
        )
    }

    /// The program itself is stopped where its own memory begins, as at any place that is no RAM.
    @Test(arguments: TestKernel.both) func theProgramIsStoppedAtItsOwnMemory(kernel: TestKernel) throws {
        let backend = try ProgramSlotTests.backend(kernel, regions: [(0, 16 << 20)])
        let end: UInt64 = 16 << 20
        #expect(backend.program.memory.placement.address == end)
        // Whatever is in RAM, from its first byte on.
        try backend.hostWrite([UInt8](repeating: 0xFF, count: 8192), to: GuestPhysicalAddress(0))
        for offset: UInt64 in [0, 0x3000, 0x4800, backend.program.memory.placement.size - 8] {
            let address = GuestPhysicalAddress(end + offset)
            #expect(try backend.guestRead(8, from: address) == .fault(address))
            #expect(try backend.guestWrite([1, 2, 3, 4, 5, 6, 7, 8], to: address) == .fault(address))
        }
        // Across the border: what is RAM is written, and what is not is where it stops.
        let bytes = (UInt8(1)...16).map { $0 }
        let border = GuestPhysicalAddress(end)
        #expect(try backend.guestWrite(bytes, to: GuestPhysicalAddress(end - 8)) == .fault(border))
        #expect(try backend.guestRead(16, from: GuestPhysicalAddress(end - 8)) == .fault(border))
        #expect(try backend.hostRead(8, from: GuestPhysicalAddress(end - 8)) == Array(bytes.prefix(8)))
        for command in [
            GuestCommand.checksum(address: end - 8, count: 16), .hammer(passes: 1, address: end, count: 8),
            .fill(pattern: 9, address: end, count: 8), .compare(byte: 0, address: end + 8, count: 8),
        ] {
            guard case .fault = try backend.execute(command, on: 0, answeringTo: Refusing()) else {
                throw Unexpected.outcome
            }
        }
        #expect(try backend.guestRead(8, from: GuestPhysicalAddress(end - 8)) == .bytes(Array(bytes.prefix(8))))
    }

    /// RAM may reach as far as the machine lets it.
    @Test(arguments: TestKernel.both) func muchMemoryIsReached(kernel: TestKernel) throws {
        let gibibyte: UInt64 = 1 << 30
        let backend: KVMBackend
        do {
            backend = try ProgramSlotTests.backend(
                kernel,
                regions: [(0, 3 * gibibyte), (4 * gibibyte, 512 * gibibyte)]
            )
        } catch let error as BackendError {
            // The kernel's notes on so many pages take memory, too.
            let cause = try #require(error.rootCause as? KVMError)
            #expect(cause.errno == .noMemory)
            print("516 GiB cannot be had: \(error)")
            return
        }
        for address in [gibibyte, 5 * gibibyte, 511 * gibibyte, 515 * gibibyte + 4096] {
            let place = GuestPhysicalAddress(address)
            #expect(try backend.guestWrite([1, 2, 3], to: place) == .written)
            #expect(try backend.hostRead(3, from: place) == [1, 2, 3])
        }
        #expect(try backend.guestRead(1, from: GuestPhysicalAddress(516 * gibibyte)) == .fault(.init(516 * gibibyte)))
    }

    // MARK: A guest of a monitor's own

    private final class Device: ProcessorExitHandler {
        private struct State {
            var read: [UInt64] = []
            var written: [UInt64] = []
        }

        private let processor: KVMProcessor
        private let meanwhile: @Sendable () -> Void
        private let state = Mutex(State())

        init(_ processor: KVMProcessor, meanwhile: @escaping @Sendable () -> Void = {}) {
            self.processor = processor
            self.meanwhile = meanwhile
        }

        var read: [UInt64] { state.withLock { $0.read } }
        var written: [UInt64] { state.withLock { $0.written } }

        func readMemory(at address: GuestPhysicalAddress, byteCount: Int) -> UInt64 {
            state.withLock { $0.read.append(address.rawValue) }
            meanwhile()
            return 0x1122_3344_5566_7788
        }

        func writeMemory(_ value: UInt64, at address: GuestPhysicalAddress, byteCount: Int) {
            state.withLock { $0.written.append(value) }
        }

        func writePort(_ value: UInt32, to port: UInt16, byteCount: Int) { processor.stop() }
    }

    /// A guest in RAM alone, which reads eight bytes at an address, writes them back, and says so: its page tables map the
    /// first GiB.
    private static func guest(of backend: KVMBackend, touching address: UInt64) throws -> KVMProcessor {
        func table(_ entries: [UInt64]) -> [UInt8] {
            entries.flatMap { entry in (UInt64(0)..<8).map { UInt8(truncatingIfNeeded: entry >> (8 * $0)) } }
        }
        try backend.hostWrite(table([Guests.address(601).rawValue | 7]), to: Guests.address(600))
        try backend.hostWrite(table([Guests.address(602).rawValue | 7]), to: Guests.address(601))
        try backend.hostWrite(table((0..<512).map { $0 << 21 | 0x87 }), to: Guests.address(602))
        // mov (%rsi), %rax; mov %rax, (%rsi); out %al, %dx; jmp to itself
        try backend.hostWrite([0x48, 0x8B, 0x06, 0x48, 0x89, 0x06, 0xEE, 0xEB, 0xFE], to: Guests.address(3))
        let processor = try #require(backend.processor(0))
        var special = try processor.specialRegisters()
        LongMode.configure(&special, pageTable: Guests.address(600).rawValue)
        try processor.setSpecialRegisters(special)
        var registers = LongMode.start(at: Guests.address(3).rawValue, mailbox: 0)
        registers.rsi = address
        registers.rdx = 0x1234
        try processor.setRegisters(registers)
        return processor
    }

    /// Such a guest finds no memory beyond its layout: the monitor's device is there, even where the program has been.
    @Test(.needsKVM, arguments: [KVMMode.dual, .revoked]) func aMonitorsGuestFindsItsDevices(mode: KVMMode) throws {
        let backend = try Guests.backend(mode, pages: 1024, processors: 2)
        let place = backend.program.memory.placement.address
        for _ in 0..<3 {
            // The program has been at work.
            #expect(try backend.guestWrite([1], to: Guests.address(100), on: 1) == .written)
            let processor = try ProgramSlotTests.guest(of: backend, touching: place + 0x2000)
            let refusal = Mutex<BackendError.Code?>(nil)
            let device = Device(processor) {
                // And is refused while the guest is.
                do { _ = try backend.guestRead(1, from: Guests.address(100), on: 1) } catch {
                    refusal.withLock { $0 = (error as? BackendError)?.code }
                }
            }
            let exit = try processor.run(device, answeringRequestsWith: Refusing())
            #expect(exit == .interrupted)
            #expect(device.read == [place + 0x2000])
            #expect(device.written == [0x1122_3344_5566_7788])
            #expect(refusal.withLock { $0 } == .invalidArgument)
        }
        #expect(try backend.guestRead(1, from: Guests.address(100), on: 1) == .bytes([1]))
    }

    /// The other way round: while the program is at work no guest of a monitor's own is run beside it.
    @Test(.needsKVM) func aMonitorIsRefusedWhileTheProgramIsAtWork() throws {
        let backend = try Guests.backend(.dual, pages: 1024, processors: 2)
        let processor = try ProgramSlotTests.guest(of: backend, touching: 0x3F00_0000)
        let refusals = Mutex<[BackendError.Code?]>([])
        let asked = Answering { _ in
            do throws(BackendError) {
                _ = try processor.run(Device(processor), answeringRequestsWith: Refusing())
                refusals.withLock { $0.append(nil) }
            } catch { refusals.withLock { $0.append(error.code) } }
            do throws(BackendError) {
                try backend.addReadOnlyMemory([1], at: GuestPhysicalAddress(backend.program.memory.placement.address))
                refusals.withLock { $0.append(nil) }
            } catch { refusals.withLock { $0.append(error.code) } }
            return .refused
        }
        let request = GuestCommand.request(address: Guests.base, count: 4096, target: 1)
        guard case .done = try backend.execute(request, on: 1, answeringTo: asked) else { throw Unexpected.outcome }
        #expect(refusals.withLock { $0 } == [.invalidArgument, .invalidArgument])
        // Nothing of it is left.
        let exit = try processor.run(Device(processor), answeringRequestsWith: Refusing())
        #expect(exit == .interrupted)
    }

    /// Firmware may be at the place; then it is the program that has none.
    @Test(arguments: TestKernel.both) func memoryBesideRAMComesFirst(kernel: TestKernel) throws {
        let backend = try Guests.backend(.dual, kernel: kernel.make())
        #expect(try backend.guestWrite([1], to: Guests.address(1)) == .written)
        try backend.addReadOnlyMemory(
            [1, 2, 3],
            at: GuestPhysicalAddress(backend.program.memory.placement.address + 4096)
        )
        let error = #expect(throws: BackendError.self) { try backend.guestRead(1, from: Guests.address(1)) }
        #expect(error?.code == .unsupported)
        try backend.change(Guests.range(3, 1), from: .shared, to: .private)
    }
}
