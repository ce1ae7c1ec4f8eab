/// The reasons why `KVM_RUN` comes back, by their numbers in the kernel's interface (`KVM_EXIT_…` in `<linux/kvm.h>`).
///
/// All that the kernel's documentation lists up to 43, those of other architectures included: a number means the same
/// everywhere.
public enum ProcessorExitReason: UInt32, Sendable, Hashable, CaseIterable {
    /// `KVM_EXIT_UNKNOWN`: the hardware left the guest for a reason that KVM does not know.
    case hardware = 0
    /// `KVM_EXIT_EXCEPTION`.
    case exception = 1
    /// `KVM_EXIT_IO`.
    case io = 2
    /// `KVM_EXIT_HYPERCALL`.
    case hypercall = 3
    /// `KVM_EXIT_DEBUG`.
    case debug = 4
    /// `KVM_EXIT_HLT`.
    case halt = 5
    /// `KVM_EXIT_MMIO`.
    case mmio = 6
    /// `KVM_EXIT_IRQ_WINDOW_OPEN`.
    case interruptWindowOpen = 7
    /// `KVM_EXIT_SHUTDOWN`.
    case shutdown = 8
    /// `KVM_EXIT_FAIL_ENTRY`.
    case failedEntry = 9
    /// `KVM_EXIT_INTR`.
    case interrupted = 10
    /// `KVM_EXIT_SET_TPR`.
    case setTaskPriority = 11
    /// `KVM_EXIT_TPR_ACCESS`.
    case taskPriorityAccess = 12
    /// `KVM_EXIT_S390_SIEIC`.
    case s390Intercept = 13
    /// `KVM_EXIT_S390_RESET`.
    case s390Reset = 14
    /// `KVM_EXIT_DCR`, not used any more.
    case deviceControlRegister = 15
    /// `KVM_EXIT_NMI`.
    case nonMaskableInterrupt = 16
    /// `KVM_EXIT_INTERNAL_ERROR`.
    case internalError = 17
    /// `KVM_EXIT_OSI`.
    case osi = 18
    /// `KVM_EXIT_PAPR_HCALL`.
    case paprHypercall = 19
    /// `KVM_EXIT_S390_UCONTROL`.
    case s390UserControl = 20
    /// `KVM_EXIT_WATCHDOG`.
    case watchdog = 21
    /// `KVM_EXIT_S390_TSCH`.
    case s390TestSubchannel = 22
    /// `KVM_EXIT_EPR`.
    case externalProxy = 23
    /// `KVM_EXIT_SYSTEM_EVENT`.
    case systemEvent = 24
    /// `KVM_EXIT_S390_STSI`.
    case s390StoreSystemInformation = 25
    /// `KVM_EXIT_IOAPIC_EOI`.
    case endOfInterrupt = 26
    /// `KVM_EXIT_HYPERV`.
    case hyperV = 27
    /// `KVM_EXIT_ARM_NISV`.
    case armNoSyndrome = 28
    /// `KVM_EXIT_X86_RDMSR`.
    case readMSR = 29
    /// `KVM_EXIT_X86_WRMSR`.
    case writeMSR = 30
    /// `KVM_EXIT_DIRTY_RING_FULL`.
    case dirtyRingFull = 31
    /// `KVM_EXIT_AP_RESET_HOLD`.
    case processorResetHold = 32
    /// `KVM_EXIT_X86_BUS_LOCK`.
    case busLock = 33
    /// `KVM_EXIT_XEN`.
    case xen = 34
    /// `KVM_EXIT_RISCV_SBI`.
    case riscvSBI = 35
    /// `KVM_EXIT_RISCV_CSR`.
    case riscvCSR = 36
    /// `KVM_EXIT_NOTIFY`.
    case notify = 37
    /// `KVM_EXIT_LOONGARCH_IOCSR`.
    case loongarchIOCSR = 38
    /// `KVM_EXIT_MEMORY_FAULT`.
    case memoryFault = 39
    /// `KVM_EXIT_TDX`.
    case tdx = 40
    /// `KVM_EXIT_ARM_SEA`.
    case armExternalAbort = 41
    /// `KVM_EXIT_ARM_LDST64B`.
    case armLoadStore64 = 42
    /// `KVM_EXIT_SNP_REQ_CERTS`.
    case certificateRequest = 43
}
