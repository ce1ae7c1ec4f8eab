import CKVM
import Custody
import Testing

@testable import KVMBackend

/// A virtual processor that the case enters itself, and whose exits it sees as they are.
final class RawProcessor: Sendable {
    private let descriptor: ProcessorDescriptor
    private let gate = QuiesceGate(.test)
    private let exits = Monitor<[Result<ProcessorExit, any Error>]>([])

    /// Makes the first processor of a machine, as it comes out of its reset.
    init(of machine: borrowing VirtualMachine) throws { descriptor = try machine.makeProcessor(0) }

    /// Takes it out of the guest for good. To be called where it may still be inside.
    func stop() { gate.shut() }

    /// The exit of a program that is idle.
    static let doorbell = ProcessorExit.io(
        .init(port: UInt16(CKVM_PORT_DOORBELL), isOutput: true, size: 1, count: 1)
    )

    /// Has it run the guest program from its first instruction.
    func startProgram(in boot: BootMemory) throws {
        // An access that no memory answered is completed by the next entry, which would change the registers again.
        for _ in 0..<16 {
            guard gate.enter(0, runAddress: descriptor.runAddress, completingOnly: true) == .inside else { break }
            defer { gate.leave(0) }
            guard case .mmio = try descriptor.enter() else { break }
        }
        var special = try descriptor.specialRegisters()
        LongMode.configure(&special, pageTable: boot.pageTable)
        try descriptor.set(special)
        try descriptor.set(LongMode.start(at: boot.program, mailbox: boot.mailboxAddress(of: 0)))
    }

    /// Has it run from an address below 64 KiB in the mode that it comes out of its reset in.
    ///
    /// - Parameter interrupts: where its table of interrupt handlers is.
    func startInRealMode(at instruction: UInt64, interrupts: UInt64) throws {
        var special = try descriptor.specialRegisters()
        special.cs.base = 0
        special.cs.selector = 0
        special.idt.base = interrupts
        special.idt.limit = 0x3FF
        try descriptor.set(special)
        var registers = GeneralRegisters()
        registers.rip = instruction
        registers.rsp = 0x8000
        registers.rflags = 2
        try descriptor.set(registers)
    }

    /// Lets it run until it comes out by itself. In a thread of its own, for ``nextExit()`` to wait for.
    func run() throws {
        try Thread.start { [self] in runThread() }
    }

    /// The exit that the last ``run()`` ends with.
    func nextExit() throws -> ProcessorExit {
        let exit = exits.wait(for: .seconds(20)) { $0.isEmpty ? nil : $0.removeFirst() }
        guard let exit else {
            stop()
            throw Unexpected.outcome
        }
        return try exit.get()
    }

    /// Gives the idle program a command and lets it run until it comes out by itself.
    func runToExit(_ command: GuestCommand, in boot: BootMemory) throws -> ProcessorExit {
        try run(command, in: boot)
        return try nextExit()
    }

    /// Gives the idle program a command and lets it run.
    func run(_ command: GuestCommand, in boot: BootMemory) throws {
        try #require(boot.mailbox(of: 0)).put(command)
        try run()
    }

    /// Lets it run until it comes out by itself.
    func runToExit() throws -> ProcessorExit {
        try run()
        return try nextExit()
    }

    private func runThread() {
        var result: Result<ProcessorExit, any Error>
        repeat {
            guard gate.enter(0, runAddress: descriptor.runAddress, completingOnly: false) == .inside else { return }
            do { result = .success(try descriptor.enter()) } catch { result = .failure(error) }
            gate.leave(0)
        } while (try? result.get()) == .interrupted
        let exit = result
        exits.update { $0.append(exit) }
    }
}
