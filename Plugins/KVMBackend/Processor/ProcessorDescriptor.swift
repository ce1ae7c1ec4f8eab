import CKVM
import SystemPackage

/// A virtual processor's descriptor and its page shared with KVM.
struct ProcessorDescriptor: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor
    private let run: MappedMemory

    init(_ descriptor: consuming OwnedDescriptor, mapSize: UInt64) throws(KVMError) {
        run = try MappedMemory(descriptor.rawValue, length: mapSize, kernel: descriptor.kernel)
        self.descriptor = descriptor
    }

    /// Where the shared page is: for the gate, which asks a processor to leave.
    var runAddress: UInt { run.address }

    /// Enters the guest, and says why it came back.
    func enter() throws(KVMError) -> ProcessorExit {
        let call = SystemCall.ioctl(descriptor.rawValue, .run, argument: 0)
        guard let page = unsafe UnsafeRawPointer(bitPattern: run.address) else { throw KVMError(call, .badAddress) }
        var errno: Errno?
        do throws(Errno) { _ = try descriptor.kernel.perform(call) } catch { errno = error }
        do throws(Errno) { return try unsafe ProcessorExit(run: page, errno: errno) } catch {
            throw KVMError(call, error)
        }
    }

    /// Fills the guest's page tables for some memory; what is left of it is in the request then.
    func preFault(_ request: inout ckvm_pre_fault_memory) throws(KVMError) {
        try descriptor.request(.preFaultMemory, &request)
    }

    /// The segment, control and descriptor-table registers.
    func specialRegisters() throws(KVMError) -> ckvm_sregs {
        var registers = ckvm_sregs()
        try descriptor.request(.getSpecialRegisters, &registers)
        return registers
    }

    /// Sets the segment, control and descriptor-table registers.
    func set(_ registers: ckvm_sregs) throws(KVMError) {
        var registers = registers
        try descriptor.request(.setSpecialRegisters, &registers)
    }

    /// The general registers.
    func registers() throws(KVMError) -> ckvm_regs {
        var registers = ckvm_regs()
        try descriptor.request(.getRegisters, &registers)
        return registers
    }

    /// Sets the general registers.
    func set(_ registers: ckvm_regs) throws(KVMError) {
        var registers = registers
        try descriptor.request(.setRegisters, &registers)
    }
}
