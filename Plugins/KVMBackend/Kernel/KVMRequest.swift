import CKVM

/// The ioctl requests that this back end makes, by the names of the kernel's `Documentation/virt/kvm/api.rst`.
package enum KVMRequest: String, Sendable, Hashable, CaseIterable {
    case getAPIVersion = "KVM_GET_API_VERSION"
    case createVM = "KVM_CREATE_VM"
    case checkExtension = "KVM_CHECK_EXTENSION"
    case getVCPUMapSize = "KVM_GET_VCPU_MMAP_SIZE"
    case getSupportedCPUID = "KVM_GET_SUPPORTED_CPUID"
    case createVCPU = "KVM_CREATE_VCPU"
    case setUserMemoryRegion = "KVM_SET_USER_MEMORY_REGION"
    case setUserMemoryRegion2 = "KVM_SET_USER_MEMORY_REGION2"
    case setTSSAddress = "KVM_SET_TSS_ADDR"
    case createGuestMemfd = "KVM_CREATE_GUEST_MEMFD"
    case setMemoryAttributes = "KVM_SET_MEMORY_ATTRIBUTES"
    case setMemoryAttributes2 = "KVM_SET_MEMORY_ATTRIBUTES2"
    case preFaultMemory = "KVM_PRE_FAULT_MEMORY"
    case run = "KVM_RUN"
    case getRegisters = "KVM_GET_REGS"
    case setRegisters = "KVM_SET_REGS"
    case getSpecialRegisters = "KVM_GET_SREGS"
    case setSpecialRegisters = "KVM_SET_SREGS"
    case setCPUID = "KVM_SET_CPUID2"
    case getMSRIndexList = "KVM_GET_MSR_INDEX_LIST"
    case getDebugRegisters = "KVM_GET_DEBUGREGS"
    case setDebugRegisters = "KVM_SET_DEBUGREGS"
    case getMSRs = "KVM_GET_MSRS"
    case setMSRs = "KVM_SET_MSRS"
    case getExtendedState = "KVM_GET_XSAVE"
    case setExtendedState = "KVM_SET_XSAVE"
    case getCPUID = "KVM_GET_CPUID2"
    case enableCapability = "KVM_ENABLE_CAP"
    case getDirtyLog = "KVM_GET_DIRTY_LOG"
    case clearDirtyLog = "KVM_CLEAR_DIRTY_LOG"
    case resetDirtyRings = "KVM_RESET_DIRTY_RINGS"

    /// The request's number.
    package var number: UInt {
        switch self {
        case .getAPIVersion: ckvm_request_get_api_version
        case .createVM: ckvm_request_create_vm
        case .checkExtension: ckvm_request_check_extension
        case .getVCPUMapSize: ckvm_request_get_vcpu_mmap_size
        case .getSupportedCPUID: ckvm_request_get_supported_cpuid
        case .createVCPU: ckvm_request_create_vcpu
        case .setUserMemoryRegion: ckvm_request_set_user_memory_region
        case .setUserMemoryRegion2: ckvm_request_set_user_memory_region2
        case .setTSSAddress: ckvm_request_set_tss_addr
        case .createGuestMemfd: ckvm_request_create_guest_memfd
        case .setMemoryAttributes: ckvm_request_set_memory_attributes
        case .setMemoryAttributes2: ckvm_request_set_memory_attributes2
        case .preFaultMemory: ckvm_request_pre_fault_memory
        case .run: ckvm_request_run
        case .getRegisters: ckvm_request_get_regs
        case .setRegisters: ckvm_request_set_regs
        case .getSpecialRegisters: ckvm_request_get_sregs
        case .setSpecialRegisters: ckvm_request_set_sregs
        case .setCPUID: ckvm_request_set_cpuid2
        case .getMSRIndexList: ckvm_request_get_msr_index_list
        case .getDebugRegisters: ckvm_request_get_debugregs
        case .setDebugRegisters: ckvm_request_set_debugregs
        case .getMSRs: ckvm_request_get_msrs
        case .setMSRs: ckvm_request_set_msrs
        case .getExtendedState: ckvm_request_get_xsave
        case .setExtendedState: ckvm_request_set_xsave
        case .getCPUID: ckvm_request_get_cpuid2
        case .enableCapability: ckvm_request_enable_cap
        case .getDirtyLog: ckvm_request_get_dirty_log
        case .clearDirtyLog: ckvm_request_clear_dirty_log
        case .resetDirtyRings: ckvm_request_reset_dirty_rings
        }
    }
}
