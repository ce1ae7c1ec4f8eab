import CKVM
package import SystemPackage

/// The kernel that this process runs on.
package struct LinuxKernel: Kernel {
    /// The running kernel.
    package init() {}

    /// Makes the call.
    package func perform(_ call: SystemCall) throws(Errno) -> Int {
        let result =
            switch call {
            case .open(let path, let flags): unsafe ckvm_open(path, flags)
            case .read(let descriptor, let address, let length): ckvm_read(descriptor, address, length)
            case .close(let descriptor): ckvm_close(descriptor)
            case .ioctl(let descriptor, .createGuestMemfd, let argument):
                unsafe ckvm_create_guest_memfd(descriptor, UnsafeMutablePointer(bitPattern: argument))
            case .ioctl(let descriptor, let request, let argument):
                ckvm_ioctl(descriptor, request.number, argument)
            case .duplicate(let descriptor): ckvm_duplicate(descriptor)
            case .memfdCreate(let name): unsafe ckvm_memfd_create(name)
            case .ftruncate(let descriptor, let size): ckvm_ftruncate(descriptor, size)
            case .mmap(let descriptor, let length, let protection, let offset):
                ckvm_mmap(length, protection, descriptor ?? -1, offset)
            case .mmapPrivate(let length): ckvm_mmap_private(length)
            case .munmap(let address, let length): ckvm_munmap(address, length)
            case .mprotect(let address, let length, let protection): ckvm_mprotect(address, length, protection)
            case .punchHole(let descriptor, let offset, let length): ckvm_punch_hole(descriptor, offset, length)
            case .allocate(let descriptor, let offset, let length): ckvm_allocate(descriptor, offset, length)
            case .seekData(let descriptor, let offset): ckvm_seek_data(descriptor, offset)
            case .populate(let address, let length): ckvm_populate(address, length)
            case .discard(let address, let length): ckvm_discard(address, length)
            case .advise(let address, let length, let advice): ckvm_advise(address, length, advice.rawValue)
            case .residentPages(let address, let length): ckvm_resident_pages(address, length)
            }
        // The kernel's own convention: the last page of numbers is errors.
        guard result < 0, result >= -4095 else { return result }
        throw Errno(rawValue: CInt(-result))
    }
}
