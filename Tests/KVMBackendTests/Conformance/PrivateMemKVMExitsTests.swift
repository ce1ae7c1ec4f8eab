import CKVM
import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// The cases of the kernel's `private_mem_kvm_exits_test` selftest, as black-box tests.
///
/// Its other case, a private page in a slot without a guest_memfd, needs the memory attributes of the virtual machine
/// (`KVM_CAP_MEMORY_ATTRIBUTES`): without them no page can be private there, and the selftest leaves it out too.
@Suite(.needsKVM, .timeLimit(.minutes(1))) struct PrivateMemKVMExitsTests {
    @Test("E1 private_access_memslot_deleted") func deletedSlot() throws {
        let bare = try BareMachine()
        let boot = try BareMachine.addProgram(to: bare.machine)
        let size = BareMachine.large
        let file = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.mappable), size: size)
        let processor = try RawProcessor(of: bare.machine)
        defer { processor.stop() }
        let start = BareMachine.data
        try processor.startProgram(in: boot)
        #expect(try processor.runToExit() == RawProcessor.doorbell)
        try bare.machine.addSlot(
            1,
            guestAddress: start,
            size: size,
            hostAddress: file.map.address,
            guestMemfd: file,
            offset: 0
        )
        // The host cannot see the guest at work in private memory: that it has been there is seen by a first command.
        let once = GuestCommand.hammer(passes: 3, address: start, count: 8)
        #expect(try processor.runToExit(once, in: boot) == RawProcessor.doorbell)
        try processor.run(.hammer(passes: .max, address: start, count: 8), in: boot)
        try bare.machine.removeSlot(1)
        let exit = try processor.nextExit()
        // With the virtual machine's attributes the page stays private without a slot: a memory fault. Where privacy is
        // the file's affair it ends with the slot: an MMIO read.
        let expected: [ProcessorExit] = [
            .mmio(address: start, length: 8, isWrite: false),
            .memoryFault(address: start, size: BareMachine.page, isPrivate: true),
        ]
        #expect(expected.contains(exit), "\(exit)")
        // What it wrote is in the file for the slot to come.
        try processor.startProgram(in: boot)
        #expect(try processor.runToExit() == RawProcessor.doorbell)
        try bare.machine.addSlot(
            1,
            guestAddress: start,
            size: size,
            hostAddress: file.map.address,
            guestMemfd: file,
            offset: 0
        )
        #expect(try processor.runToExit(.read(count: 8, address: start), in: boot) == RawProcessor.doorbell)
        let mailbox = try #require(boot.mailbox(of: 0))
        #expect(mailbox.data(count: 8).reversed().reduce(0) { $0 << 8 | UInt64($1) } >= 3)
        #expect(Touch.read(8, at: file.map.address).signal == CKVM_SIGNAL_BUS)
    }
}
