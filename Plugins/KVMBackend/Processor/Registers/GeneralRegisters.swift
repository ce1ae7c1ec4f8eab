import CKVM

/// The general registers of an x86-64 processor, its instruction pointer and its flags (`KVM_GET_REGS`).
public struct GeneralRegisters: Sendable, Hashable {
    /// The accumulator.
    public var rax: UInt64 = 0
    /// The base register.
    public var rbx: UInt64 = 0
    /// The counter.
    public var rcx: UInt64 = 0
    /// The data register.
    public var rdx: UInt64 = 0
    /// The source index.
    public var rsi: UInt64 = 0
    /// The destination index.
    public var rdi: UInt64 = 0
    /// The stack pointer.
    public var rsp: UInt64 = 0
    /// The frame pointer.
    public var rbp: UInt64 = 0
    /// Register 8.
    public var r8: UInt64 = 0
    /// Register 9.
    public var r9: UInt64 = 0
    /// Register 10.
    public var r10: UInt64 = 0
    /// Register 11.
    public var r11: UInt64 = 0
    /// Register 12.
    public var r12: UInt64 = 0
    /// Register 13.
    public var r13: UInt64 = 0
    /// Register 14.
    public var r14: UInt64 = 0
    /// Register 15.
    public var r15: UInt64 = 0
    /// The instruction pointer.
    public var rip: UInt64 = 0
    /// The flags; bit 1 is always one.
    public var rflags: UInt64 = 2

    /// All zero, but for the flag that is always one.
    public init() {}
}

extension GeneralRegisters {
    init(_ kvm: ckvm_regs) {
        rax = kvm.rax
        rbx = kvm.rbx
        rcx = kvm.rcx
        rdx = kvm.rdx
        rsi = kvm.rsi
        rdi = kvm.rdi
        rsp = kvm.rsp
        rbp = kvm.rbp
        r8 = kvm.r8
        r9 = kvm.r9
        r10 = kvm.r10
        r11 = kvm.r11
        r12 = kvm.r12
        r13 = kvm.r13
        r14 = kvm.r14
        r15 = kvm.r15
        rip = kvm.rip
        rflags = kvm.rflags
    }

    /// The structure of the kernel's interface.
    var kvm: ckvm_regs {
        ckvm_regs(
            rax: rax,
            rbx: rbx,
            rcx: rcx,
            rdx: rdx,
            rsi: rsi,
            rdi: rdi,
            rsp: rsp,
            rbp: rbp,
            r8: r8,
            r9: r9,
            r10: r10,
            r11: r11,
            r12: r12,
            r13: r13,
            r14: r14,
            r15: r15,
            rip: rip,
            rflags: rflags
        )
    }
}
