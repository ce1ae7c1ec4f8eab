import CKVM
import Custody
import SystemPackage

/// A virtual machine's descriptor, with what its memory and, where it was made here, its processors are made with.
struct VirtualMachine: ~Copyable, Sendable {
    /// The type of a virtual machine, by the kernel's number.
    enum Kind: UInt, Sendable, Hashable {
        /// `KVM_X86_DEFAULT_VM`.
        case `default` = 0
        /// `KVM_X86_SW_PROTECTED_VM`: it has private memory, without hardware that encrypts it.
        case softwareProtected = 1
    }

    /// The descriptor.
    let descriptor: OwnedDescriptor
    /// What processors are made like; `nil` for a machine whose monitor makes them.
    private let model: ProcessorModel?

    /// What the processors of a machine have in common.
    struct ProcessorModel: Sendable {
        /// The size of what is shared with the kernel for each, in bytes.
        let mapSize: UInt64
        /// What `CPUID` tells a guest.
        let identification: ProcessorIdentification
    }

    /// A machine that was made here, with a model of its processors, or by a monitor.
    init(descriptor: consuming OwnedDescriptor, _ model: ProcessorModel?) {
        self.descriptor = descriptor
        self.model = model
    }

    /// A machine that a monitor has made, by a duplicate of its descriptor.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` for a descriptor that is no virtual machine's.
    static func adopted(_ descriptor: Int32, kernel: any Kernel) throws(BackendError) -> VirtualMachine {
        let text = "descriptor \(descriptor) is no virtual machine of KVM's"
        let own: OwnedDescriptor
        do throws(KVMError) { own = try OwnedDescriptor(.duplicate(descriptor), of: kernel) } catch {
            throw BackendError(.invalidArgument, text, cause: error)
        }
        // Virtual machines answer it, and so does the device, which alone tells the version of its interface.
        do throws(KVMError) { try own.request(.checkExtension, UInt(KVMCapability.memorySlots.rawValue)) } catch {
            throw BackendError(.invalidArgument, text, cause: error)
        }
        guard !own.isDevice else { throw BackendError(.invalidArgument, text + ", but /dev/kvm") }
        return VirtualMachine(descriptor: own, nil)
    }

    /// The pages below 4 GiB that KVM needs on Intel hardware: a task state segment and an identity map.
    static let reservedBelow4GiB: ClosedRange<UInt64> = 0xFFFB_C000...0xFFFB_FFFF

    /// Puts the task state segment where the guest has no memory. Before the first processor is made.
    func setTaskStateSegment() throws(KVMError) { try descriptor.request(.setTSSAddress, 0xFFFB_D000) }

    /// Turns a capability on that is not on by itself.
    func enable(_ capability: KVMCapability, _ argument: UInt64) throws(KVMError) {
        var request = ckvm_enable_cap()
        request.cap = capability.rawValue
        request.args.0 = argument
        try descriptor.request(.enableCapability, &request)
    }

    /// Makes a file of guest memory, in bytes.
    func makeGuestMemoryFile(_ kind: GuestMemoryFile.Kind, size: UInt64) throws(KVMError) -> GuestMemoryFile {
        switch kind {
        case .guestMemfd(let flags):
            var request = ckvm_create_guest_memfd()
            request.size = size
            request.flags = flags
            let file = try unsafe withUnsafeMutablePointer(to: &request) { pointer throws(KVMError) in
                try unsafe OwnedDescriptor(
                    .ioctl(descriptor.rawValue, .createGuestMemfd, argument: UInt(bitPattern: pointer)),
                    of: descriptor.kernel
                )
            }
            return try GuestMemoryFile(file, kind: kind, size: size)
        case .memfd:
            let file = try OwnedDescriptor(.memfdCreate(name: "custody-guest"), of: descriptor.kernel)
            try descriptor.kernel.call(.ftruncate(file.rawValue, size: size))
            return try GuestMemoryFile(file, kind: kind, size: size)
        }
    }

    /// Puts memory into the guest's address space: plain memory of this process at `hostAddress`. In bytes.
    ///
    /// For a slot that is there already with the same memory, only its flags change.
    func addSlot(
        _ slot: UInt32,
        guestAddress: UInt64,
        size: UInt64,
        hostAddress: UInt,
        flags: UInt32 = 0
    ) throws(KVMError) {
        try descriptor.kernel.setSlot(
            slot,
            guestAddress: guestAddress,
            size: size,
            hostAddress: hostAddress,
            flags: flags,
            of: descriptor.rawValue
        )
    }

    /// Puts memory into the guest's address space: memory of this process at `hostAddress`, and where there is a
    /// guest_memfd, its part from `offset` on too. In bytes.
    func addSlot(
        _ slot: UInt32,
        guestAddress: UInt64,
        size: UInt64,
        hostAddress: UInt,
        guestMemfd file: GuestMemoryFile?,
        offset: UInt64,
        flags: UInt32 = 0
    ) throws(KVMError) {
        guard let file else {
            return try addSlot(slot, guestAddress: guestAddress, size: size, hostAddress: hostAddress, flags: flags)
        }
        var region = ckvm_userspace_memory_region2()
        region.slot = slot
        region.flags = flags | UInt32(CKVM_MEM_GUEST_MEMFD)
        region.guest_phys_addr = guestAddress
        region.memory_size = size
        region.userspace_addr = UInt64(hostAddress)
        region.guest_memfd = UInt32(bitPattern: file.descriptor.rawValue)
        region.guest_memfd_offset = offset
        try descriptor.request(.setUserMemoryRegion2, &region)
    }

    /// Takes a slot's memory out of the guest's address space.
    func removeSlot(_ slot: UInt32) throws(KVMError) {
        try descriptor.kernel.setSlot(
            slot,
            guestAddress: 0,
            size: 0,
            hostAddress: 0,
            flags: 0,
            of: descriptor.rawValue
        )
    }

    /// Makes a virtual processor of a machine that was made here.
    func makeProcessor(_ index: Int) throws(KVMError) -> ProcessorDescriptor {
        let call = SystemCall.ioctl(descriptor.rawValue, .createVCPU, argument: UInt(index))
        guard let model else { throw KVMError(call, .notPermitted) }
        let processor = try OwnedDescriptor(call, of: descriptor.kernel)
        var identification = model.identification
        try identification.withStructure { address throws(KVMError) in
            _ = try processor.request(.setCPUID, address)
        }
        return try ProcessorDescriptor(processor, mapSize: model.mapSize)
    }
}

extension Kernel {
    /// Makes, changes or, with no size, removes a slot of plain memory, by the virtual machine's descriptor. In bytes.
    func setSlot(
        _ slot: UInt32,
        guestAddress: UInt64,
        size: UInt64,
        hostAddress: UInt,
        flags: UInt32,
        of machine: Int32
    ) throws(KVMError) {
        var region = ckvm_userspace_memory_region()
        region.slot = slot
        region.flags = flags
        region.guest_phys_addr = guestAddress
        region.memory_size = size
        region.userspace_addr = UInt64(hostAddress)
        try unsafe withUnsafeMutablePointer(to: &region) { pointer throws(KVMError) in
            _ = try unsafe call(.ioctl(machine, .setUserMemoryRegion, argument: UInt(bitPattern: pointer)))
        }
    }
}

extension OwnedDescriptor {
    /// Whether it is `/dev/kvm`.
    fileprivate var isDevice: Bool {
        do throws(KVMError) { return try request(.getAPIVersion) > 0 } catch { return false }
    }
}
