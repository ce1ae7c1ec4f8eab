import CKVM

/// Two guest_memfds: one that the host can touch, one that it can map and not fault. A conversion binds slots to the
/// other one.
struct DualRAM: GuestRAM {
    private let sharedFile: GuestMemoryFile
    private let privateFile: GuestMemoryFile

    init(size: UInt64, machine: borrowing VirtualMachine) throws(KVMError) {
        let mappable = UInt64(CKVM_GUEST_MEMFD_MMAP)
        let touchable = mappable | UInt64(CKVM_GUEST_MEMFD_INIT_SHARED)
        sharedFile = try machine.makeGuestMemoryFile(.guestMemfd(flags: touchable), size: size)
        privateFile = try machine.makeGuestMemoryFile(.guestMemfd(flags: mappable), size: size)
    }

    var sharedMemory: any GuestMemory { sharedFile }
    var privateMemory: any GuestMemory { privateFile }
    var privateBacking: Backing { .private }

    func slotMemory(of backing: Backing) -> (user: any GuestMemory, guestMemfd: GuestMemoryFile?) {
        let file = backing == .private ? privateFile : sharedFile
        return (file, file)
    }

    /// Nothing is left to do when the slots are bound.
    func convert(
        _ pages: FilePages,
        to target: Visibility,
        in machine: borrowing VirtualMachine
    ) throws(KVMError) -> ConversionAttempt { .done }
}
