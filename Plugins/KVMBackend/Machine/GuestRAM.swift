import CKVM
import Custody

/// The files that the guest's RAM is in, and the host's window on them. Offsets and lengths are in bytes.
///
/// A page has the same offset in every file: its distance from the lowest address of RAM. Files are sparse, so that
/// holes cost nothing.
enum GuestRAM: ~Copyable, Sendable {
    /// Two guest_memfds: one that the host can touch, one that it can map and not fault.
    case dual(shared: GuestMemoryFile, private: GuestMemoryFile)
    /// One memory file, with a window of the host's that is closed page by page. KVM has a mapping of its own.
    case revoked(GuestMemoryFile, window: MappedMemory)

    /// Makes the files of two kinds of pages.
    static func dual(size: UInt64, machine: borrowing VirtualMachine) throws(KVMError) -> GuestRAM {
        let mappable = UInt64(CKVM_GUEST_MEMFD_MMAP)
        let touchable = mappable | UInt64(CKVM_GUEST_MEMFD_INIT_SHARED)
        return .dual(
            shared: try machine.makeGuestMemoryFile(.guestMemfd(flags: touchable), size: size),
            private: try machine.makeGuestMemoryFile(.guestMemfd(flags: mappable), size: size)
        )
    }

    /// Makes one file with a window.
    static func revoked(size: UInt64, machine: borrowing VirtualMachine) throws(KVMError) -> GuestRAM {
        let file = try machine.makeGuestMemoryFile(.memfd, size: size)
        let window = try file.mapAgain(length: size)
        return .revoked(file, window: window)
    }

    /// Where the host finds shared pages, and where it looks for private ones.
    var windows: (shared: UInt, private: UInt) {
        switch self {
        case .dual(let shared, let `private`): (shared.map.address, `private`.map.address)
        case .revoked(_, let window): (window.address, window.address)
        }
    }

    /// Binds a slot to part of the file of a backing.
    func bind(
        _ slot: UInt32,
        to range: PageRange,
        offset: UInt64,
        _ backing: Backing,
        in machine: borrowing VirtualMachine
    ) throws(KVMError) {
        let address = range.address.rawValue
        let size = range.byteCount
        switch self {
        case .dual(let shared, let `private`):
            if backing == .private {
                try machine.addSlot(slot, guestAddress: address, size: size, file: `private`, offset: offset)
            } else {
                try machine.addSlot(slot, guestAddress: address, size: size, file: shared, offset: offset)
            }
        case .revoked(let file, _):
            try machine.addSlot(slot, guestAddress: address, size: size, file: file, offset: offset)
        }
    }

    /// Opens or closes the window on some pages. Does nothing where the kernel stops the host.
    func protect(_ protection: HostProtection, offset: UInt64, length: UInt64) throws(KVMError) {
        switch self {
        case .dual: break
        case .revoked(_, let window): try window.protect(protection, offset: offset, length: length)
        }
    }

    /// Drops the pages of part of the file of a backing.
    func punchHole(_ backing: Backing, offset: UInt64, length: UInt64) throws(KVMError) {
        switch self {
        case .dual(let shared, let `private`):
            if backing == .private {
                try `private`.punchHole(offset: offset, length: length)
            } else {
                try shared.punchHole(offset: offset, length: length)
            }
        case .revoked(let file, _): try file.punchHole(offset: offset, length: length)
        }
    }
}
