import CKVM

/// The debug registers of an x86-64 processor (`KVM_GET_DEBUGREGS`).
public struct DebugRegisters: Sendable, Hashable {
    /// The addresses of the four breakpoints, DR0 to DR3.
    public var breakpoints: [UInt64]
    /// The status.
    public var dr6: UInt64
    /// The control.
    public var dr7: UInt64

    init(_ kvm: ckvm_debugregs) {
        let (a, b, c, d) = kvm.db
        breakpoints = [a, b, c, d]
        dr6 = kvm.dr6
        dr7 = kvm.dr7
    }

    /// The structure of the kernel's interface.
    var kvm: ckvm_debugregs {
        var kvm = ckvm_debugregs()
        let words = breakpoints + [0, 0, 0, 0]
        kvm.db = (words[0], words[1], words[2], words[3])
        kvm.dr6 = dr6
        kvm.dr7 = dr7
        return kvm
    }
}
