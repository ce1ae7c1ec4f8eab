import CKVM
import KVMBackend

/// What a fake kernel offers: the answers of `KVM_CHECK_EXTENSION`, and the behaviour that goes with them.
struct FakeFeatures: Sendable {
    /// `KVM_CAP_NR_MEMSLOTS`.
    var memorySlots = 1024
    /// `KVM_CAP_VM_TYPES`: the default type, and the software-protected one.
    var virtualMachineTypes = 0b11
    /// Whether the virtual machine's attributes (`KVM_SET_MEMORY_ATTRIBUTES`) are built in, for types with private memory.
    /// They mean something where the file's are off.
    var hasVMAttributes = false
    /// Whether the file's attributes (`KVM_SET_MEMORY_ATTRIBUTES2`) are on, for types with private memory.
    var hasFileAttributes = false
    /// The module's parameter that turns the file's attributes on, where there is one.
    var inPlaceParameter: String?
    /// The number under which the file's attributes are announced, and the mask that it answers.
    var fileAttributesCapability: (number: UInt32, mask: Int)?
    /// `KVM_CAP_PRE_FAULT_MEMORY`.
    var hasPreFault = false

    /// `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`: a mask of what can be turned on.
    var manualDirtyLogProtect = 1
    /// `KVM_CAP_DIRTY_LOG_RING_ACQ_REL`, in bytes.
    var dirtyLogRing = 1 << 20
    /// `KVM_CAP_EXIT_HYPERCALL`: a mask of what can be turned on.
    var exitHypercall = 1 << Int(CKVM_HC_MAP_GPA_RANGE)

    /// As the machine that the tests run on: files can be mapped, and there is no private memory.
    static let plain = FakeFeatures(virtualMachineTypes: 0b01)
    /// A kernel with the virtual machine's attributes.
    static let attributes = FakeFeatures(hasVMAttributes: true)
    /// A kernel with the file's attributes, as linux-next has them.
    static let inPlace = FakeFeatures(hasFileAttributes: true, fileAttributesCapability: (252, 8))

    /// The kernel that a mode needs.
    static func `for`(_ mode: KVMMode) -> FakeFeatures {
        switch mode {
        case .dual, .revoked: .plain
        case .attributes: .attributes
        case .inPlace: .inPlace
        }
    }

    /// The answer of `KVM_CHECK_EXTENSION`.
    func value(of number: UInt32) -> Int {
        if let announced = fileAttributesCapability, announced.number == number { return announced.mask }
        switch KVMCapability(rawValue: number) {
        case .setTSSAddress?, .readOnlyMemory?, .immediateExit?, .userMemory2?, .memoryFaultInfo?, .guestMemfd?:
            return 1
        case .memorySlots?: return memorySlots
        case .maximumProcessors?: return 8
        case .memoryAttributes?:
            return hasVMAttributes && !hasFileAttributes ? Int(CKVM_MEMORY_ATTRIBUTE_PRIVATE) : 0
        case .virtualMachineTypes?: return virtualMachineTypes
        case .preFaultMemory?: return hasPreFault ? 1 : 0
        case .guestMemfdFlags?: return Int(CKVM_GUEST_MEMFD_MMAP | CKVM_GUEST_MEMFD_INIT_SHARED)
        case .manualDirtyLogProtect?: return manualDirtyLogProtect
        case .dirtyLogRing?: return dirtyLogRing
        case .exitHypercall?: return exitHypercall
        case nil: return 0
        }
    }

    /// The entries of a ring that are kept for what is noted on the way out of the guest.
    static let reservedRingEntries = 64

    /// The flags that a guest_memfd of a machine may have. Where the pages could never become private, they may not
    /// begin shared in a machine that has private memory.
    func fileFlags(hasPrivateMemory: Bool) -> UInt64 {
        let mappable = UInt64(CKVM_GUEST_MEMFD_MMAP)
        return hasPrivateMemory && !hasFileAttributes ? mappable : mappable | UInt64(CKVM_GUEST_MEMFD_INIT_SHARED)
    }
}
