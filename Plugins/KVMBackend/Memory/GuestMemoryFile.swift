import CKVM
import SystemPackage

/// A file whose pages are guest memory, and this process's mapping of all of it. Offsets and lengths are in bytes.
final class GuestMemoryFile: GuestMemory {
    /// What kind of file.
    enum Kind: Sendable, Hashable {
        /// `KVM_CREATE_GUEST_MEMFD` with these flags.
        case guestMemfd(flags: UInt64)
        /// `memfd_create(2)`.
        case memfd

        /// Whether the host can have a mapping of it.
        var isMappable: Bool {
            switch self {
            case .guestMemfd(let flags): flags & UInt64(CKVM_GUEST_MEMFD_MMAP) != 0
            case .memfd: true
            }
        }
    }

    /// The kind.
    let kind: Kind
    /// The file.
    let descriptor: OwnedDescriptor
    let map: MappedMemory

    var address: UInt { map.address }
    var file: Int32? { descriptor.rawValue }

    init(_ descriptor: consuming OwnedDescriptor, kind: Kind, size: UInt64) throws(KVMError) {
        let kernel = descriptor.kernel
        map =
            kind.isMappable
            ? try MappedMemory(descriptor.rawValue, length: size, kernel: kernel)
            : try MappedMemory(nil, length: size, .none, kernel: kernel)
        self.descriptor = descriptor
        self.kind = kind
    }

    /// By a hole.
    func discard(offset: UInt64, length: UInt64) throws(KVMError) {
        try descriptor.kernel.call(.punchHole(descriptor.rawValue, offset: offset, length: length))
    }

    /// For a memfd by `SEEK_DATA`. For a guest_memfd the kernel does not tell: there `SEEK_DATA` fails and `st_blocks` is
    /// always zero.
    func hasMemory(offset: UInt64, length: UInt64) throws(KVMError) -> Bool? {
        guard kind == .memfd else { return nil }
        do throws(KVMError) {
            let data = try descriptor.kernel.call(.seekData(descriptor.rawValue, offset: offset))
            return UInt64(clamping: data) < offset + length
        } catch {
            // ENXIO: there is none up to the end of the file.
            guard error.errno == .noSuchAddressOrDevice else { throw error }
            return false
        }
    }

    /// A guest_memfd allocates by itself, because the host cannot touch its private pages; a memfd by its mapping.
    func populate(offset: UInt64, length: UInt64) throws(KVMError) {
        switch kind {
        case .guestMemfd:
            try descriptor.kernel.call(.allocate(descriptor.rawValue, offset: offset, length: length))
        case .memfd: try map.populate(offset: offset, length: length)
        }
    }

    /// A further mapping of the whole file.
    func mapAgain(length: UInt64) throws(KVMError) -> MappedMemory {
        try MappedMemory(descriptor.rawValue, length: length, kernel: descriptor.kernel)
    }
}
