import Custody

// What each mode is made of: the one place that tells the modes apart.
extension KVMMode {
    /// The type of virtual machine that the mode needs.
    var virtualMachine: VirtualMachine.Kind {
        switch self {
        case .dual, .revoked: .default
        case .attributes, .inPlace: .softwareProtected
        }
    }

    /// Whether KVM can log the writes to the mode's slots: not to one with a guest_memfd.
    var slotsCanLog: Bool { self == .revoked }

    /// What a conversion does to the bytes, once it is finished.
    var conversionEffect: ContentsEffect {
        switch self {
        case .dual: .zeroed
        case .revoked: .preserved
        case .attributes: .discarded
        case .inPlace: .unspecified
        }
    }

    /// The kinds of memory that shared pages can be in, the one that is taken where none is named first.
    var sharedMemoryKinds: [SharedMemoryKind] {
        switch self {
        case .attributes: [.memfd, .anonymous]
        case .revoked: [.memfd]
        // They are in a guest_memfd.
        case .dual, .inPlace: []
        }
    }

    /// Checks that shared pages can be in memory of a kind.
    ///
    /// - Throws: `BackendError` with code `unsupported`.
    func check(_ kind: SharedMemoryKind?) throws(BackendError) {
        guard let kind, !sharedMemoryKinds.contains(kind) else { return }
        throw BackendError(
            .unsupported,
            "shared pages of the mode ‘\(rawValue)’ cannot be in memory of the kind ‘\(kind.rawValue)’"
        )
    }

    /// Makes the guest's RAM, all shared. In bytes.
    func makeRAM(
        size: UInt64,
        _ shared: SharedMemoryKind,
        machine: borrowing VirtualMachine
    ) throws(KVMError) -> any GuestRAM {
        switch self {
        case .dual: try DualRAM(size: size, machine: machine)
        case .revoked: try RevokedRAM(size: size, machine: machine)
        case .attributes: try AttributesRAM(size: size, shared, machine: machine)
        case .inPlace: try InPlaceRAM(size: size, machine: machine)
        }
    }
}
