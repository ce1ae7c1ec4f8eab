import Custody

/// The machine half of a guest whose virtual machine is made here: its processors, the gate that takes them out of the guest,
/// and the guest program. An adopted machine has all that from its monitor.
final class OwnMachine: Sendable {
    /// The slot of the guest program.
    static let programSlotNumber: UInt32 = 0

    /// The guest program's place in the guest's address space.
    let programSlot: BootSlot
    /// What takes the processors out.
    let gate: QuiesceGate
    /// The processors.
    let processors: [VirtualProcessor]

    /// Makes processors, as many as there is to be.
    init(
        of machine: borrowing VirtualMachine,
        _ placement: BootMemory.Placement,
        processors count: Int,
        _ gate: QuiesceGate,
        _ tracker: DirtyTracker
    ) throws(BackendError) {
        let boot: BootMemory
        do throws(KVMError) { boot = try BootMemory(placement, kernel: machine.descriptor.kernel) } catch {
            throw BackendError(.system, "the virtual machine cannot be made", cause: error)
        }
        let programSlot = BootSlot(OwnMachine.programSlotNumber, boot, of: machine)
        var processors: [VirtualProcessor] = []
        do throws(BackendError) {
            for index in 0..<count {
                processors.append(
                    try VirtualProcessor(
                        index,
                        of: machine,
                        programSlot: programSlot,
                        gate: gate,
                        tracker: tracker
                    )
                )
            }
        } catch {
            for processor in processors { processor.end(because: error) }
            for processor in processors { processor.waitForEnd() }
            throw error
        }
        self.programSlot = programSlot
        self.gate = gate
        self.processors = processors
    }

    /// Takes all processors out of the guest for good, and ends their threads.
    ///
    /// - Parameter late: Told once, where it takes longer than it ever should.
    func end(because error: BackendError, late: (BackendError) -> Void) {
        for processor in processors { processor.end(because: error) }
        gate.shut(late: late)
        for processor in processors { processor.waitForEnd() }
    }
}
