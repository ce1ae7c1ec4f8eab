/// The floating-point and vector state of an x86-64 processor, as XSAVE stores it (`KVM_GET_XSAVE`): to be kept and given
/// back. States beyond 4 KiB (AMX) are not in it.
public struct ExtendedState: Sendable, Hashable {
    /// The area, 4 096 bytes, in the processor's own layout.
    public internal(set) var bytes: [UInt8]

    /// The size of the area in bytes.
    static let size = 4096
}
