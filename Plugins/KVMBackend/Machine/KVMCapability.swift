/// The capabilities of KVM that matter for memory ownership, by their numbers for `KVM_CHECK_EXTENSION`.
package enum KVMCapability: UInt32, Sendable, Hashable, CaseIterable {
    /// `KVM_CAP_SET_TSS_ADDR`.
    case setTSSAddress = 4
    /// `KVM_CAP_NR_MEMSLOTS`: how many memory slots a virtual machine may have.
    case memorySlots = 10
    /// `KVM_CAP_MAX_VCPUS`.
    case maximumProcessors = 66
    /// `KVM_CAP_READONLY_MEM`.
    case readOnlyMemory = 81
    /// `KVM_CAP_IMMEDIATE_EXIT`.
    case immediateExit = 136
    /// `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`: a mask of what can be turned on.
    case manualDirtyLogProtect = 168
    /// `KVM_CAP_EXIT_HYPERCALL`: a mask of the hypercalls that can be passed on to user space.
    case exitHypercall = 201
    /// `KVM_CAP_DIRTY_LOG_RING_ACQ_REL`: the largest ring, in bytes.
    case dirtyLogRing = 223
    /// `KVM_CAP_USER_MEMORY2`.
    case userMemory2 = 231
    /// `KVM_CAP_MEMORY_FAULT_INFO`.
    case memoryFaultInfo = 232
    /// `KVM_CAP_MEMORY_ATTRIBUTES`: a mask of the attributes that can be set on the virtual machine.
    case memoryAttributes = 233
    /// `KVM_CAP_GUEST_MEMFD`.
    case guestMemfd = 234
    /// `KVM_CAP_VM_TYPES`: a mask.
    case virtualMachineTypes = 235
    /// `KVM_CAP_PRE_FAULT_MEMORY`.
    case preFaultMemory = 236
    /// `KVM_CAP_GUEST_MEMFD_FLAGS`: a mask (1: can be mapped, 2: can start shared).
    case guestMemfdFlags = 244

    /// The name in the kernel's headers.
    package var name: String {
        switch self {
        case .setTSSAddress: "KVM_CAP_SET_TSS_ADDR"
        case .memorySlots: "KVM_CAP_NR_MEMSLOTS"
        case .maximumProcessors: "KVM_CAP_MAX_VCPUS"
        case .readOnlyMemory: "KVM_CAP_READONLY_MEM"
        case .immediateExit: "KVM_CAP_IMMEDIATE_EXIT"
        case .manualDirtyLogProtect: "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2"
        case .exitHypercall: "KVM_CAP_EXIT_HYPERCALL"
        case .dirtyLogRing: "KVM_CAP_DIRTY_LOG_RING_ACQ_REL"
        case .userMemory2: "KVM_CAP_USER_MEMORY2"
        case .memoryFaultInfo: "KVM_CAP_MEMORY_FAULT_INFO"
        case .memoryAttributes: "KVM_CAP_MEMORY_ATTRIBUTES"
        case .guestMemfd: "KVM_CAP_GUEST_MEMFD"
        case .virtualMachineTypes: "KVM_CAP_VM_TYPES"
        case .preFaultMemory: "KVM_CAP_PRE_FAULT_MEMORY"
        case .guestMemfdFlags: "KVM_CAP_GUEST_MEMFD_FLAGS"
        }
    }
}
