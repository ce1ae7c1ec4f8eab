import CKVM
import Custody
import Testing

@testable import KVMBackend

/// A virtual machine with the guest program on one processor and nothing else: its slots are the case's own, and are
/// changed while the processor runs.
final class BareGuest: Sendable {
    let machine: VirtualMachine
    private let boot: BootMemory
    private let gate = QuiesceGate(.test)
    private let processor: VirtualProcessor

    init(on kernel: TestKernel) throws {
        let bare = try BareMachine(on: kernel)
        machine = try bare.device.makeVirtualMachine()
        try machine.setTaskStateSegment()
        boot = try BareMachine.addProgram(to: machine)
        processor = try VirtualProcessor(
            0,
            of: machine,
            programSlot: BootSlot(0, boot, of: machine),
            gate: gate,
            tracker: .idle(machine)
        )
    }

    deinit {
        processor.end(because: BackendError(.guestFailed, "the case is over"))
        gate.shut()
        processor.waitForEnd()
    }

    /// Has the processor perform a command.
    func perform(_ command: GuestCommand) throws -> GuestCommandResult {
        try processor.withTurn { () throws(BackendError) in
            try processor.perform(command, answeringTo: Refusing())
        }
    }

    /// Whether the guest finds one value in all bytes.
    func holds(_ byte: UInt8, at address: UInt64, count: UInt64) throws -> Bool {
        try perform(.compare(byte: byte, address: address, count: count))
            == .done(value: count, address: 0, bytes: [])
    }

    /// Has the guest fill bytes with one value.
    func fill(_ byte: UInt8, at address: UInt64, count: UInt64) throws {
        let pattern = UInt64(byte) &* 0x0101_0101_0101_0101
        guard case .done = try perform(.fill(pattern: pattern, address: address, count: count)) else {
            throw Unexpected.outcome
        }
    }
}

extension DirtyTracker {
    /// One that notes nothing.
    static func idle(_ machine: borrowing VirtualMachine) throws -> DirtyTracker {
        try DirtyTracker(.none, machine: machine, bounds: PageRange(PageNumber(0)))
    }
}
