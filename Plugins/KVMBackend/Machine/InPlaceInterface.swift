import CKVM
import SystemPackage

/// Whether a kernel converts pages of a guest_memfd in place, found out by what it says and by what it does.
///
/// KVM's tree for x86 has it since commit 799c9fadc639 (September 2026), and linux-next with it. Before that the number of its capability changed from one
/// posted version to the next, and kernels with those patches exist. So a number proves nothing: another capability may have
/// got it. What decides is the ioctl's behaviour on a file of one page.
enum InPlaceInterface: Sendable, Hashable {
    /// It does; the number is that of the capability which says so, where one does.
    case present(capability: UInt32?)
    /// It does not, because of this.
    case absent(String)

    /// The numbers of `KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES`: the applied one's, then those of versions 8 and 7 of the series.
    static let candidates: [UInt32] = [252, 250, 249]

    /// Why the mode cannot be used, or `nil`.
    var obstacle: String? {
        switch self {
        case .present: nil
        case .absent(let reason): reason
        }
    }

    /// Looks at a kernel that has virtual machines with private memory, and guest_memfds that can be mapped.
    static func look(at device: borrowing KVMDevice) throws(KVMError) -> InPlaceInterface {
        let named = try named(by: device.descriptor)
        return try look(at: device.makeVirtualMachine(.softwareProtected), named: named)
    }

    /// Looks at what the kernel does for one virtual machine.
    static func look(at machine: borrowing VirtualMachine) throws(KVMError) -> InPlaceInterface {
        try look(at: machine, named: named(by: machine.descriptor))
    }

    /// The number of the capability that says so, where one does.
    private static func named(by descriptor: borrowing OwnedDescriptor) throws(KVMError) -> UInt32? {
        for candidate in candidates {
            let mask = try descriptor.request(.checkExtension, UInt(candidate))
            if mask & Int(CKVM_MEMORY_ATTRIBUTE_PRIVATE) != 0 { return candidate }
        }
        return nil
    }

    private static func look(at machine: borrowing VirtualMachine, named: UInt32?) throws(KVMError) -> InPlaceInterface
    {
        let kernel = machine.descriptor.kernel
        guard ckvm_guarded_install() == 0 else { return .absent("the handlers for SIGBUS and SIGSEGV are taken") }
        let file: GuestMemoryFile
        do throws(KVMError) {
            file = try machine.makeGuestMemoryFile(.guestMemfd(flags: InPlaceRAM.flags), size: page)
        } catch {
            guard error.errno == .invalidArgument else { throw error }
            return .absent(
                "a virtual machine with private memory may have no guest_memfd whose pages begin shared here: they "
                    + "would be private for ever" + advice(kernel)
            )
        }
        guard let surprise = try surprise(of: file, kernel: kernel) else {
            return .present(capability: named)
        }
        let claim = named.map { "capability \($0) claims it, but " } ?? ""
        return .absent(claim + surprise)
    }

    private static let page: UInt64 = 4096

    /// What a file does otherwise than a file with in-place conversion; `nil` for nothing.
    private static func surprise(of file: GuestMemoryFile, kernel: any Kernel) throws(KVMError) -> String? {
        switch try set(0, flags: 0, file) {
        case nil: break
        case .inappropriateIOCTLForDevice?:
            return "KVM_SET_MEMORY_ATTRIBUTES2 on a guest_memfd answers ENOTTY" + advice(kernel)
        case let errno?: return "KVM_SET_MEMORY_ATTRIBUTES2 of pages that are shared already answers \(errno)"
        }
        guard try set(0, flags: 1 << 63, file) == .invalidArgument else {
            return "KVM_SET_MEMORY_ATTRIBUTES2 does not refuse a flag that there is not"
        }
        guard canTouch(file) else { return "a page that is shared cannot be touched" }
        if let errno = try set(UInt64(CKVM_MEMORY_ATTRIBUTE_PRIVATE), flags: 0, file) {
            return "KVM_SET_MEMORY_ATTRIBUTES2 of a page that nobody holds answers \(errno)"
        }
        guard !canTouch(file) else { return "a page that was made private can still be touched" }
        if let errno = try set(0, flags: 0, file) { return "a private page cannot be made shared again: \(errno)" }
        return canTouch(file) ? nil : "a page that was made shared again cannot be touched"
    }

    /// What turns it on, for the end of a sentence.
    private static func advice(_ kernel: any Kernel) -> String {
        let name = ModuleParameter.inPlaceConversion
        return switch ModuleParameter.read(name, through: kernel) {
        case .value("N"): "; the module kvm has it turned off: load it with \(name)=1"
        case .value(let text): ", although the module kvm has \(name)=\(text)"
        case .absent:
            "; this kernel lacks it: it needs one with guest_memfd in-place conversion, as linux-next has it since September 2026"
        case .unreadable(let errno): "; whether the module kvm has \(name)=1 cannot be read: \(errno)"
        }
    }

    /// Sets the attributes of the one page.
    ///
    /// - Returns: the kernel's objection.
    private static func set(_ attributes: UInt64, flags: UInt64, _ file: GuestMemoryFile) throws(KVMError) -> Errno? {
        var request = ckvm_memory_attributes2()
        request.size = page
        request.attributes = attributes
        request.flags = flags
        do throws(KVMError) { try file.descriptor.request(.setMemoryAttributes2, &request) } catch {
            return error.errno
        }
        return nil
    }

    private static func canTouch(_ file: GuestMemoryFile) -> Bool {
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: file.map.address) else { return false }
        var fault: UInt = 0
        return unsafe ckvm_guarded_zero(start, 8, &fault) == 0
    }
}
