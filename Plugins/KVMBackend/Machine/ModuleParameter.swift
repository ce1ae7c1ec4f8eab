import SystemPackage

/// A parameter of the kernel module `kvm`, as `/sys/module/kvm/parameters` shows it.
enum ModuleParameter: Sendable, Hashable {
    /// Its value.
    case value(String)
    /// There is no such parameter.
    case absent
    /// It cannot be read, because of this.
    case unreadable(Errno)

    /// Whether `KVM_SET_MEMORY_ATTRIBUTES2` works on a guest_memfd; `Y` or `N`. It exists where the kernel also has the
    /// virtual machine's attributes (`CONFIG_KVM_VM_MEMORY_ATTRIBUTES`); without those in-place conversion is always on.
    static let inPlaceConversion = "gmem_in_place_conversion"

    /// Reads a parameter.
    static func read(_ name: String, through kernel: any Kernel) -> ModuleParameter {
        do throws(KVMError) {
            let path = "/sys/module/kvm/parameters/\(name)"
            let file = try OwnedDescriptor(
                .open(path: path, flags: FileDescriptor.AccessMode.readOnly.rawValue),
                of: kernel
            )
            var text: [64 of UInt8] = .init(repeating: 0)
            var span = text.mutableSpan
            let count = try unsafe span.withUnsafeMutableBytes { buffer throws(KVMError) in
                let address = UInt(bitPattern: buffer.baseAddress)
                return try kernel.call(.read(file.rawValue, address: address, length: UInt64(buffer.count)))
            }
            let bytes = (0..<count).map { text[$0] }
            return .value(String(decoding: bytes.filter { $0 > 0x20 && $0 < 0x7F }, as: UTF8.self))
        } catch {
            return error.errno == .noSuchFileOrDirectory ? .absent : .unreadable(error.errno)
        }
    }
}
