import CKVM
import SystemPackage

/// A virtual processor's descriptor and its page shared with KVM.
struct ProcessorDescriptor: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor
    private let map: MappedMemory
    /// The page shared with KVM. Not to be used beyond this value.
    let run: RunPage

    init(_ descriptor: consuming OwnedDescriptor, mapSize: UInt64) throws(KVMError) {
        let map = try MappedMemory(descriptor.rawValue, length: mapSize, kernel: descriptor.kernel)
        let base = unsafe UnsafeMutableRawPointer(bitPattern: map.address)
        guard let run = unsafe RunPage(base, length: mapSize) else {
            throw KVMError(.mmap(descriptor.rawValue, length: mapSize, protection: 0), .invalidArgument)
        }
        self.run = run
        self.map = map
        self.descriptor = descriptor
    }

    /// Where the shared page is: for the gate, which asks a processor to leave.
    var runAddress: UInt { map.address }

    /// Enters the guest, and says why it came back.
    func enter() throws(KVMError) -> ProcessorExit {
        let call = SystemCall.ioctl(descriptor.rawValue, .run, argument: 0)
        var errno: Errno?
        do throws(Errno) { _ = try descriptor.kernel.perform(call) } catch { errno = error }
        do throws(Errno) { return try ProcessorExit(run: run, errno: errno) } catch { throw KVMError(call, error) }
    }

    /// Fills the guest's page tables for some memory; what is left of it is in the request then.
    func preFault(_ request: inout ckvm_pre_fault_memory) throws(KVMError) {
        try descriptor.request(.preFaultMemory, &request)
    }

    /// The segment, control and descriptor-table registers.
    func specialRegisters() throws(KVMError) -> SpecialRegisters {
        var registers = ckvm_sregs()
        try descriptor.request(.getSpecialRegisters, &registers)
        return SpecialRegisters(registers)
    }

    /// Sets the segment, control and descriptor-table registers.
    func set(_ registers: SpecialRegisters) throws(KVMError) {
        var registers = registers.kvm
        try descriptor.request(.setSpecialRegisters, &registers)
    }

    /// The general registers.
    func registers() throws(KVMError) -> GeneralRegisters {
        var registers = ckvm_regs()
        try descriptor.request(.getRegisters, &registers)
        return GeneralRegisters(registers)
    }

    /// Sets the general registers.
    func set(_ registers: GeneralRegisters) throws(KVMError) {
        var registers = registers.kvm
        try descriptor.request(.setRegisters, &registers)
    }

    /// The debug registers.
    func debugRegisters() throws(KVMError) -> DebugRegisters {
        var registers = ckvm_debugregs()
        try descriptor.request(.getDebugRegisters, &registers)
        return DebugRegisters(registers)
    }

    /// Sets the debug registers.
    func set(_ registers: DebugRegisters) throws(KVMError) {
        var registers = registers.kvm
        try descriptor.request(.setDebugRegisters, &registers)
    }

    /// The floating-point and vector state.
    func extendedState() throws(KVMError) -> ExtendedState {
        var bytes = [UInt8](repeating: 0, count: ExtendedState.size)
        try descriptor.request(.getExtendedState, bytes: &bytes)
        return ExtendedState(bytes: bytes)
    }

    /// Sets the floating-point and vector state.
    func set(_ state: ExtendedState) throws(KVMError) {
        var bytes = state.bytes
        try descriptor.request(.setExtendedState, bytes: &bytes)
    }

    /// The values of model-specific registers, up to the first that KVM does not give.
    func modelSpecificRegisters(_ indices: [UInt32]) throws(KVMError) -> [UInt64] {
        var table = MSRTable(indices.map { ($0, 0) })
        let count = try descriptor.request(.getMSRs, bytes: &table.bytes)
        return Array(table.values.prefix(count))
    }

    /// Sets model-specific registers, and says how many of them KVM took, from the first on.
    func set(_ registers: [(index: UInt32, value: UInt64)]) throws(KVMError) -> Int {
        var table = MSRTable(registers)
        return try descriptor.request(.setMSRs, bytes: &table.bytes)
    }

    /// The processor's CPUID table.
    func identification() throws(KVMError) -> ProcessorIdentification {
        try ProcessorIdentification(filledBy: { table throws(KVMError) in
            try table.withStructure { address throws(KVMError) in
                _ = try descriptor.request(.getCPUID, address)
            }
        })
    }

    /// Sets the processor's CPUID table.
    func set(_ identification: ProcessorIdentification) throws(KVMError) {
        var identification = identification
        try identification.withStructure { address throws(KVMError) in
            _ = try descriptor.request(.setCPUID, address)
        }
    }

    /// Maps the processor's ring of dirty pages.
    func dirtyRing(entries: Int) throws(KVMError) -> DirtyRing {
        try DirtyRing(of: descriptor, entries: entries)
    }
}
