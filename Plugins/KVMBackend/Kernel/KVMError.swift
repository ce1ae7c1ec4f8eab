public import SystemPackage

/// A system call that failed, with what that usually means.
public struct KVMError: Error, Sendable, Hashable {
    /// The call; for an ioctl its request, such as `KVM_CREATE_VM`.
    public let call: String
    /// The call's arguments, for people.
    public let arguments: String
    /// What the kernel said.
    public let errno: Errno
    /// What it usually means and what to do: one sentence.
    public let meaning: String

    init(_ call: SystemCall, _ errno: Errno) {
        self.call = call.name
        arguments = call.arguments
        self.errno = errno
        meaning = KVMError.meaning(of: errno, from: call)
    }

    private static func meaning(of errno: Errno, from call: SystemCall) -> String {
        switch (call, errno) {
        case (.open, .noSuchFileOrDirectory):
            "this machine offers no KVM: load the kvm module, or turn on virtualization in the firmware or the cloud"
        case (.open, .permissionDenied):
            "this user may not use KVM: join the group that owns the device (usually ‘kvm’), or run as root"
        case (.open, .operationNotSupportedByDevice), (.open, .noSuchAddressOrDevice):
            "the device node is there, but no KVM module answers it: load kvm_intel, kvm_amd or kvm_pvm"
        case (_, .resourceBusy): "another hypervisor has the processor's virtualization: stop it, or try again later"
        case (_, .noMemory):
            "the kernel has no memory, no room for so much in this process's addresses, or no more mappings (see vm.max_map_count)"
        case (_, .tooManyOpenFiles), (_, .tooManyOpenFilesInSystem): "raise the limit on open files (ulimit -n)"
        case (.ioctl(_, .createGuestMemfd, _), .invalidArgument):
            "this kernel does not know the flags: mapping a guest_memfd needs Linux 6.18"
        case (.ioctl(_, .setUserMemoryRegion, _), .fileExists), (.ioctl(_, .setUserMemoryRegion2, _), .fileExists):
            "a memory slot is there already"
        case (.ioctl(_, .setMemoryAttributes2, _), .resourceTemporarilyUnavailable):
            "somebody holds a reference to a page of the range: a pin, a splice, DMA in flight"
        case (.ioctl(_, .preFaultMemory, _), .noSuchFileOrDirectory): "the address is outside of every memory slot"
        case (.ioctl(_, .setUserMemoryRegion, _), .invalidArgument),
            (.ioctl(_, .setUserMemoryRegion2, _), .invalidArgument):
            "the slot is not aligned to pages, or its flags do not go with its memory (a guest_memfd takes no dirty log)"
        case (.ioctl(_, .enableCapability, _), .invalidArgument):
            "this kernel has not got the capability, or it has to be turned on before the first processor is made"
        case (.ioctl(_, .getDirtyLog, _), .noSuchFileOrDirectory): "the slot does not log, or is not there"
        case (.ioctl(_, .getDirtyLog, _), .noSuchAddressOrDevice): "the virtual machine has dirty rings instead"
        case (.ioctl(_, .setSpecialRegisters, _), .invalidArgument):
            "the control registers contradict each other, or the processor's CPUID"
        case (.ioctl(_, .setCPUID, _), .invalidArgument): "the processor has run already"
        case (.ioctl(_, .run, _), .invalidArgument), (.ioctl(_, .run, _), .badAddress):
            "the processor's registers cannot be run with, or memory of a slot cannot be reached"
        case (_, .inappropriateIOCTLForDevice): "this kernel does not know the request"
        case (_, .notPermitted), (_, .permissionDenied):
            "a security module, a seal or a limit forbids it to this process"
        case (_, .noSpace), (_, .fileTooLarge):
            "the limit on memory files is reached (see the size of tmpfs, ulimit -f)"
        case (_, .invalidArgument): "the arguments do not fit this kernel or the state that the machine is in"
        case (_, .notSupportedOnSocket), (_, .operationNotSupportedByDevice):
            "this kind of file or guest cannot do it on this kernel"
        case (_, .fileExists): "it is there already"
        case (_, .badFileDescriptor), (_, .illegalSeek):
            "the descriptor has been closed under the back end, or is of another kind of file"
        case (_, .argListTooLong): "the kernel's table is larger than the room for it"
        case (_, .ioError): "the machine or the file is broken, or its owner is gone"
        case (_, .badAddress): "the kernel could not reach the memory it was given"
        case (_, .interrupted), (_, .resourceTemporarilyUnavailable): "asking again may work"
        default: "the kernel refused"
        }
    }
}

extension KVMError: CustomStringConvertible {
    /// Call, arguments, errno and meaning in one line.
    public var description: String { "\(call)(\(arguments)): \(errno) (errno \(errno.rawValue)): \(meaning)" }
}
