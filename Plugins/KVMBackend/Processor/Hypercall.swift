/// A hypercall of the guest's that KVM passed on (`KVM_EXIT_HYPERCALL`).
public struct Hypercall: Sendable, Hashable {
    /// The call's number.
    public let number: UInt64
    /// Its arguments: six, of which each call uses the first few.
    public let arguments: [UInt64]

    /// Describes a call; arguments that are left out are zero.
    public init(number: UInt64, arguments: [UInt64]) {
        self.number = number
        self.arguments = Array((arguments + [UInt64](repeating: 0, count: 6)).prefix(6))
    }
}

/// What a hypercall returns to the guest.
///
/// For guests of KVM's default type this is what the guest finds in RAX: zero, or the negative of an error number. For
/// encrypted guests the kernel reads it as a positive error number and translates it into the answer of their own
/// protocol: see ``statusForEncryptedGuest``.
public struct HypercallResult: RawRepresentable, Sendable, Hashable {
    /// The number in RAX.
    public let rawValue: UInt64

    /// A result by the number in RAX.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Done.
    public static let success = HypercallResult(rawValue: 0)
    /// `-KVM_ENOSYS`: there is no such call.
    public static let noSuchCall = HypercallResult(error: 1000)
    /// `-EINVAL`: no, and asking again will not help.
    public static let invalidArgument = HypercallResult(error: 22)
    /// `-EAGAIN`: not yet; make the same call again.
    public static let tryAgain = HypercallResult(error: 11)

    /// The negative of an error number.
    public init(error: UInt32) { rawValue = 0 &- UInt64(error) }

    /// What `hypercall.ret` has to hold for a guest whose kernel protocol translates it (TDX, SNP): 0 or the error number
    /// itself. Kernels before that translation take anything but 0 for a failure.
    public var statusForEncryptedGuest: UInt64 { rawValue == 0 ? 0 : 0 &- rawValue }
}
