/// A file whose pages are guest memory, and this process's mapping of all of it.
struct GuestMemoryFile: ~Copyable, Sendable {
    /// What kind of file.
    enum Kind: Sendable, Hashable {
        /// `KVM_CREATE_GUEST_MEMFD` with these flags.
        case guestMemfd(flags: UInt64)
        /// `memfd_create(2)`.
        case memfd
    }

    /// The kind.
    let kind: Kind
    /// The file.
    let descriptor: OwnedDescriptor
    /// The whole file in this process: what KVM finds the memory by, and never revoked.
    let map: MappedMemory

    init(_ descriptor: consuming OwnedDescriptor, kind: Kind, size: UInt64) throws(KVMError) {
        map = try MappedMemory(descriptor.rawValue, length: size, kernel: descriptor.kernel)
        self.descriptor = descriptor
        self.kind = kind
    }

    /// Drops the pages of part of the file; who touches them next finds zeroes. In bytes.
    func punchHole(offset: UInt64, length: UInt64) throws(KVMError) {
        try descriptor.kernel.call(.punchHole(descriptor.rawValue, offset: offset, length: length))
    }

    /// A further mapping of the whole file.
    func mapAgain(length: UInt64) throws(KVMError) -> MappedMemory {
        try MappedMemory(descriptor.rawValue, length: length, kernel: descriptor.kernel)
    }
}
