import CKVM
import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// The cases of the kernel's `private_mem_kvm_exits_test` selftest, as black-box tests.
///
/// Where privacy is the file's affair, as on this machine, it ends with the slot, and what is left is an MMIO read. Where it
/// is the virtual machine's, the page stays private without a slot, and the exit is a memory fault: that is the fake
/// kernel's to show, as is the second case, which the selftest leaves out without such attributes.
@Suite(.timeLimit(.minutes(60))) struct PrivateMemKVMExitsTests {
    private let start = BareMachine.data
    private let size = BareMachine.large

    @Test("E1 private_access_memslot_deleted", arguments: TestKernel.both) func deletedSlot(kernel: TestKernel) throws {
        let bare = try BareMachine(on: kernel)
        try deletesTheSlot(
            bare,
            flags: BareMachine.mappable,
            exit: .mmio(.init(address: GuestPhysicalAddress(start), length: 8))
        )
    }

    @Test("E1 private_access_memslot_deleted, in place") func deletedSlotInPlace() throws {
        let bare = try BareMachine(kernel: FakeKernel(.inPlace), .softwareProtected)
        try deletesTheSlot(
            bare,
            flags: BareMachine.mappable,
            exit: .mmio(.init(address: GuestPhysicalAddress(start), length: 8))
        )
    }

    @Test("E1 private_access_memslot_deleted, by attributes") func deletedSlotByAttributes() throws {
        let bare = try BareMachine(kernel: FakeKernel(.attributes), .softwareProtected)
        try setPrivate(bare)
        try deletesTheSlot(
            bare,
            flags: 0,
            exit: .memoryFault(.init(address: GuestPhysicalAddress(start), size: BareMachine.page, isPrivate: true))
        )
    }

    private func deletesTheSlot(_ bare: borrowing BareMachine, flags: UInt64, exit expected: ProcessorExit) throws {
        let boot = try BareMachine.addProgram(to: bare.machine)
        let file = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: flags), size: size)
        let processor = try RawProcessor(of: bare.machine)
        defer { processor.stop() }
        try processor.startProgram(in: boot)
        #expect(try processor.runToExit() == RawProcessor.doorbell)
        try addSlot(file, to: bare)
        // The host cannot see the guest at work in private memory: that it has been there is seen by a first command.
        let once = GuestCommand.hammer(passes: 3, address: start, count: 8)
        #expect(try processor.runToExit(once, in: boot) == RawProcessor.doorbell)
        try processor.run(.hammer(passes: .max, address: start, count: 8), in: boot)
        try bare.machine.removeSlot(1)
        #expect(try processor.nextExit() == expected)
        // What it wrote is in the file for the slot to come.
        try processor.startProgram(in: boot)
        #expect(try processor.runToExit() == RawProcessor.doorbell)
        try addSlot(file, to: bare)
        #expect(try processor.runToExit(.read(count: 8, address: start), in: boot) == RawProcessor.doorbell)
        let mailbox = try #require(boot.mailbox(of: 0))
        #expect(mailbox.data(count: 8).reversed().reduce(0) { $0 << 8 | UInt64($1) } >= 3)
        #expect(Touch.read(8, at: file.map.address).signal != 0)
    }

    /// A private page in a slot that has no guest_memfd.
    @Test("E2 private_access_memslot_not_private") func slotThatIsNotPrivate() throws {
        let bare = try BareMachine(kernel: FakeKernel(.attributes), .softwareProtected)
        let boot = try BareMachine.addProgram(to: bare.machine)
        let memory = try MappedMemory(nil, length: size, kernel: bare.kernel)
        try bare.machine.addSlot(1, guestAddress: start, size: size, hostAddress: memory.address)
        let processor = try RawProcessor(of: bare.machine)
        defer { processor.stop() }
        try processor.startProgram(in: boot)
        #expect(try processor.runToExit() == RawProcessor.doorbell)
        #expect(try processor.runToExit(.read(count: 8, address: start), in: boot) == RawProcessor.doorbell)
        try setPrivate(bare)
        let exit = try processor.runToExit(.read(count: 8, address: start), in: boot)
        #expect(
            exit == .memoryFault(.init(address: GuestPhysicalAddress(start), size: BareMachine.page, isPrivate: true))
        )
    }

    private func addSlot(_ file: GuestMemoryFile, to bare: borrowing BareMachine) throws {
        try bare.machine.addSlot(
            1,
            guestAddress: start,
            size: size,
            hostAddress: file.map.address,
            guestMemfd: file,
            offset: 0
        )
    }

    private func setPrivate(_ bare: borrowing BareMachine) throws {
        var request = ckvm_memory_attributes()
        request.address = start
        request.size = size
        request.attributes = UInt64(CKVM_MEMORY_ATTRIBUTE_PRIVATE)
        try bare.machine.descriptor.request(.setMemoryAttributes, &request)
    }
}
