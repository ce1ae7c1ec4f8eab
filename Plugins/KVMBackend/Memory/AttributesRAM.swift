import CKVM
import Custody

/// Memory of this process for shared pages, and a guest_memfd that nobody can map for private ones. One slot has both,
/// and the virtual machine's attribute of a page says which of them the guest finds (`KVM_SET_MEMORY_ATTRIBUTES`).
struct AttributesRAM: GuestRAM {
    let sharedMemory: any GuestMemory
    private let privateFile: GuestMemoryFile

    init(size: UInt64, _ shared: SharedMemoryKind, machine: borrowing VirtualMachine) throws(KVMError) {
        sharedMemory =
            switch shared {
            case .memfd: try machine.makeGuestMemoryFile(.memfd, size: size)
            case .anonymous: try AnonymousMemory(size: size, kernel: machine.descriptor.kernel)
            }
        privateFile = try machine.makeGuestMemoryFile(.guestMemfd(flags: 0), size: size)
    }

    var privateMemory: any GuestMemory { privateFile }
    var privateBacking: Backing { .shared }

    func slotMemory(of backing: Backing) -> (user: any GuestMemory, guestMemfd: GuestMemoryFile?) {
        (sharedMemory, privateFile)
    }

    /// Sets the attribute. It neither copies nor frees: what the page had before is still in the other memory.
    func convert(
        _ pages: FilePages,
        to target: Visibility,
        in machine: borrowing VirtualMachine
    ) throws(KVMError) -> ConversionAttempt {
        var request = ckvm_memory_attributes()
        request.address = pages.range.address.rawValue
        request.size = pages.length
        request.attributes = target == .private ? UInt64(CKVM_MEMORY_ATTRIBUTE_PRIVATE) : 0
        try machine.descriptor.request(.setMemoryAttributes, &request)
        return .done
    }
}
