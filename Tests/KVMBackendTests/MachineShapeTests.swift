import CKVM
import Custody
import Synchronization
import SystemPackage
import Testing

@testable import KVMBackend

/// Machines of other shapes than one stretch of RAM: holes, read-only memory, several files, odd places.
@Suite(.timeLimit(.minutes(60))) struct MachineShapeTests {
    /// Three regions with holes between them, none of which begins or ends at a large page.
    private static func holes() throws -> GuestMemoryLayout {
        try GuestMemoryLayout(regions: [
            Guests.range(3, 200), Guests.range(300, 1), Guests.range(1027, 700),
        ])
    }

    private func backend(_ tested: ModeUnderTest, _ kernel: any Kernel, processors: Int = 1) throws -> KVMBackend {
        try KVMBackend(
            GuestConfiguration(layout: MachineShapeTests.holes(), processors: processors),
            mode: tested.mode,
            sharedMemory: tested.sharedMemory,
            kernel: kernel,
            slotLimit: nil
        )
    }

    @Test(arguments: ModeUnderTest.all) func nothingIsInAHole(tested: ModeUnderTest) throws {
        let backend = try backend(tested, tested.makeKernel(), processors: 2)
        let regions = backend.layout.regions
        // Every region by the guest's own instructions, and each has its own bytes.
        for (index, region) in regions.enumerated() {
            let fill = GuestCommand.fill(
                pattern: UInt64(index + 1) &* 0x0101_0101_0101_0101,
                address: region.address.rawValue,
                count: region.byteCount
            )
            guard case .done = try backend.execute(fill, on: index % 2, answeringTo: Refusing()) else {
                throw Unexpected.outcome
            }
        }
        for (index, region) in regions.enumerated() {
            let compare = GuestCommand.compare(
                byte: UInt8(index + 1),
                address: region.address.rawValue,
                count: region.byteCount
            )
            let result = try backend.execute(compare, on: (index + 1) % 2, answeringTo: Refusing())
            #expect(result == .done(value: region.byteCount, address: 0, bytes: []))
            #expect(
                Touch.uniform(try backend.hostRead(Int(region.byteCount), from: region.address), UInt8(index + 1))
            )
        }
        // The pages beside them are nobody's, for either side.
        for page: UInt64 in [2, 203, 299, 301, 1026, 1727] {
            let address = Guests.address(page)
            #expect(try backend.guestRead(1, from: address) == .fault(address))
            #expect(try backend.guestWrite([1], to: address) == .fault(address))
            #expect(backend.hostError(at: address)?.code == .invalidArgument)
        }
        let over = #expect(throws: BackendError.self) { try backend.hostRead(8192, from: Guests.address(202)) }
        #expect(over?.code == .invalidArgument)
        // A change within a region works to its very borders; one across a hole changes nothing.
        for region in regions {
            try backend.change(region, from: .shared, to: .private)
            #expect(backend.hostError(at: region.address)?.code == .accessDenied)
            #expect(backend.hostError(at: region.last.address)?.code == .accessDenied)
            try backend.change(region, from: .private, to: .shared)
        }
        for range in [try Guests.range(200, 10), try Guests.range(203, 1), try Guests.range(3, 1724)] {
            let error = #expect(throws: BackendError.self) {
                try backend.change(range, from: .shared, to: .private)
            }
            #expect(error?.code == .invalidArgument)
        }
        #expect(backend.slotRuns.filter { $0.backing != .none }.map(\.range) == regions)
    }

    /// KVM maps by large pages where a page's place in the guest, in this process and in the file are the same within one.
    @Test(arguments: ModeUnderTest.all) func largePagesLieOnLargePages(tested: ModeUnderTest) throws {
        let kernel = RecordingSlots(try tested.makeKernel())
        let backend = try backend(tested, kernel)
        for region in backend.layout.regions {
            try backend.change(region, from: .shared, to: .private)
            try backend.change(region, from: .private, to: .host)
            try backend.change(region, from: .host, to: .shared)
        }
        let slots = kernel.slots.filter { $0.guestAddress >= Guests.base }
        #expect(slots.count >= backend.layout.regions.count)
        let large: UInt64 = 0x20_0000
        for slot in slots {
            #expect(slot.userAddress % large == slot.guestAddress % large)
            if let offset = slot.fileOffset { #expect(offset % large == slot.guestAddress % large) }
        }
    }

    /// Each slot has a guest_memfd of its own; the guest checks what it finds in all of them, on several processors.
    @Test(arguments: TestKernel.both) func severalFilesAtOnce(kernel: TestKernel) throws {
        let count: UInt64 = 6
        let size: UInt64 = 0x40_0000
        let guest = try BareGuest(on: kernel)
        var files: [GuestMemoryFile] = []
        for index in 0..<count {
            let file = try guest.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.touchable), size: size)
            // Some slots begin within their file.
            let offset = index % 2 * 0x20_0000
            try guest.machine.addSlot(
                UInt32(index + 1),
                guestAddress: BareMachine.data + index * 2 * size,
                size: size - offset,
                hostAddress: file.map.address + UInt(offset),
                guestMemfd: file,
                offset: offset
            )
            files.append(file)
        }
        for index in 0..<count {
            try guest.fill(
                UInt8(index + 1),
                at: BareMachine.data + index * 2 * size,
                count: size - index % 2 * 0x20_0000
            )
        }
        for (index, file) in files.enumerated() {
            let offset = UInt(index % 2 * 0x20_0000)
            let length = size - UInt64(offset)
            #expect(Touch.holds(UInt8(index + 1), at: file.map.address + offset, count: length))
            #expect(offset == 0 || Touch.holds(0, at: file.map.address, count: UInt64(offset)))
            #expect(try guest.holds(UInt8(index + 1), at: BareMachine.data + UInt64(index) * 2 * size, count: length))
        }
    }

    // MARK: Read-only memory

    @Test(arguments: ModeUnderTest.all) func readOnlyMemoryIsRead(tested: ModeUnderTest) throws {
        let kernel = try tested.makeKernel()
        let backend = try tested.backend(kernel: kernel)
        let place = Guests.address(600)
        let contents = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 1) }
        try backend.addReadOnlyMemory(contents, at: place)
        let end = [UInt8](repeating: 0, count: 8192 - 5000)
        #expect(try backend.guestRead(8192, from: place) == .bytes(contents + end))
        // A write is an exit, and changes nothing.
        #expect(try backend.guestWrite([9, 9], to: place) == .fault(place))
        #expect(try backend.guestRead(16, from: place) == .bytes(Array(contents.prefix(16))))
        // It has no ownership.
        #expect(backend.hostError(at: place)?.code == .invalidArgument)
        for wrong in [
            (place, [UInt8(1)]), (Guests.address(601), [1]), (Guests.address(511), [1]), (Guests.address(700, 8), [1]),
            (Guests.address(700), []),
            (GuestPhysicalAddress(.max - 4095), [UInt8](repeating: 0, count: 5000)),
        ] {
            let error = #expect(throws: BackendError.self) { try backend.addReadOnlyMemory(wrong.1, at: wrong.0) }
            #expect(error?.code == .invalidArgument)
        }
        // Conversions of the RAM before it go on as ever.
        try backend.change(Guests.range(500, 12), from: .shared, to: .private)
        #expect(try backend.guestRead(1, from: place) == .bytes([1]))
    }

    /// A monitor that runs a guest of its own is told what the guest wants to write there.
    @Test(arguments: TestKernel.both) func aWriteToReadOnlyMemoryIsTheMonitors(kernel: TestKernel) throws {
        let backend = try Guests.backend(.dual, kernel: kernel.make())
        let place = Guests.address(600)
        try backend.addReadOnlyMemory([1, 2, 3, 4, 5, 6, 7, 8], at: place)
        let monitor = try ProgramMonitor(backend)
        let exit = try monitor.perform(.write([8, 7, 6, 5, 4, 3, 2, 1], address: place.rawValue))
        #expect(exit == ProgramMonitor.idle)
        // Real hardware writes it in one piece; the emulator may take several.
        #expect(monitor.writtenBytes(at: place.rawValue, count: 8) == [8, 7, 6, 5, 4, 3, 2, 1])
        #expect(try backend.guestRead(8, from: place) == .bytes([1, 2, 3, 4, 5, 6, 7, 8]))
    }

    @Test func withoutSlotsThereIsNoReadOnlyMemory() throws {
        let backend = try Guests.backend(.dual, kernel: FakeKernel(.plain), slotLimit: 3)
        try backend.addReadOnlyMemory([1], at: Guests.address(600))
        let error = #expect(throws: BackendError.self) {
            try backend.addReadOnlyMemory([1], at: Guests.address(700))
        }
        #expect(error?.code == .resourcesExhausted)
    }

    /// A slot that KVM does not take is nobody's afterwards.
    @Test func aRefusedSlotIsFreeAgain() throws {
        let kernel = FailingKernel(try FakeKernel(.plain)) { call in
            if case .ioctl(_, .setUserMemoryRegion, _) = call { true } else { false }
        }
        let backend = try Guests.backend(.dual, kernel: kernel, slotLimit: 3)
        kernel.fail(1)
        let error = #expect(throws: BackendError.self) {
            try backend.addReadOnlyMemory([1], at: Guests.address(600))
        }
        #expect((error?.rootCause as? KVMError)?.errno == .noMemory)
        kernel.fail(nil)
        try backend.addReadOnlyMemory([1], at: Guests.address(600))
        #expect(try backend.guestRead(1, from: Guests.address(600)) == .bytes([1]))
    }

    @Test func aKernelWithoutReadOnlySlotsSaysSo() throws {
        let kernel = WithoutCapability(.readOnlyMemory, try FakeKernel(.plain))
        let backend = try Guests.backend(.dual, kernel: kernel)
        let error = #expect(throws: BackendError.self) { try backend.addReadOnlyMemory([1], at: Guests.address(600)) }
        #expect(error?.code == .unsupported)
    }
}

/// A kernel that keeps what memory slots are made of.
final class RecordingSlots: Kernel {
    struct Slot: Sendable {
        let guestAddress: UInt64
        let userAddress: UInt64
        let fileOffset: UInt64?
    }

    private let base: any Kernel
    private let kept = Mutex<[Slot]>([])

    init(_ base: any Kernel) { self.base = base }

    /// The slots that were added.
    var slots: [Slot] { kept.withLock { $0 } }

    func perform(_ call: SystemCall) throws(Errno) -> Int {
        switch call {
        case .ioctl(_, .setUserMemoryRegion, let argument):
            if let region = unsafe UnsafePointer<ckvm_userspace_memory_region>(bitPattern: argument)?.pointee {
                note(region.guest_phys_addr, region.memory_size, region.userspace_addr, nil)
            }
        case .ioctl(_, .setUserMemoryRegion2, let argument):
            if let region = unsafe UnsafePointer<ckvm_userspace_memory_region2>(bitPattern: argument)?.pointee {
                note(region.guest_phys_addr, region.memory_size, region.userspace_addr, region.guest_memfd_offset)
            }
        default: break
        }
        return try base.perform(call)
    }

    private func note(_ address: UInt64, _ size: UInt64, _ user: UInt64, _ offset: UInt64?) {
        guard size > 0 else { return }
        kept.withLock { $0.append(Slot(guestAddress: address, userAddress: user, fileOffset: offset)) }
    }
}
