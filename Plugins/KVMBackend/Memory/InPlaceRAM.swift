import CKVM
import SystemPackage

/// One guest_memfd, each page of which is shared or private by the file's own attribute
/// (`KVM_SET_MEMORY_ATTRIBUTES2` on the file; *guest_memfd in-place conversion*, linux-next commit 799c9fadc639).
struct InPlaceRAM: GuestRAM {
    private let file: GuestMemoryFile

    /// The flags of a file that the host can map, and whose pages begin shared.
    static let flags = UInt64(CKVM_GUEST_MEMFD_MMAP | CKVM_GUEST_MEMFD_INIT_SHARED)

    init(size: UInt64, machine: borrowing VirtualMachine) throws(KVMError) {
        file = try machine.makeGuestMemoryFile(.guestMemfd(flags: InPlaceRAM.flags), size: size)
    }

    var sharedMemory: any GuestMemory { file }
    var privateMemory: any GuestMemory { file }
    var privateBacking: Backing { .shared }

    func slotMemory(of backing: Backing) -> (user: any GuestMemory, guestMemfd: GuestMemoryFile?) {
        (file, file)
    }

    /// Sets the attribute, for all pages or none.
    ///
    /// A page that somebody holds a reference to cannot become private: the kernel names the first one. All pages of the
    /// range have left the host's page tables by then; they come back with their contents when they are touched. A range
    /// for which the kernel has no memory (`ENOMEM`) is as it was.
    func convert(
        _ pages: FilePages,
        to target: Visibility,
        in machine: borrowing VirtualMachine
    ) throws(KVMError) -> ConversionAttempt {
        var request = ckvm_memory_attributes2()
        request.offset = pages.offset
        request.size = pages.length
        request.attributes = target == .private ? UInt64(CKVM_MEMORY_ATTRIBUTE_PRIVATE) : 0
        do throws(KVMError) {
            try file.descriptor.request(.setMemoryAttributes2, &request)
            return .done
        } catch {
            guard error.errno == .resourceTemporarilyUnavailable, target == .private else { throw error }
            let last = pages.offset + (pages.length - 1)
            return .held(offset: min(max(request.error_offset, pages.offset), last))
        }
    }
}
