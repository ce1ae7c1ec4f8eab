import SystemPackage

@testable import KVMBackend

/// The errors that each system call of the back end can give, as the manual pages and the kernel's
/// `Documentation/virt/kvm/api.rst` list them (the file's attributes: linux-next commit 799c9fadc639).
enum PossibleErrors {
    /// One of every kind of call, with arguments that mean nothing.
    static let calls: [SystemCall] =
        [
            .open(path: "/dev/kvm", flags: 2), .read(3, address: 0, length: 0), .close(3), .duplicate(3),
            .memfdCreate(name: "x"),
            .ftruncate(3, size: 1), .mmap(3, length: 1, protection: 0), .mmapPrivate(length: 1),
            .munmap(address: 1, length: 1), .mprotect(address: 1, length: 1, protection: 0),
            .punchHole(3, offset: 0, length: 1), .allocate(3, offset: 0, length: 1), .seekData(3, offset: 0),
            .populate(address: 1, length: 1), .discard(address: 1, length: 1),
            .advise(address: 1, length: 1, .dontFork), .residentPages(address: 1, length: 1),
        ] + KVMRequest.allCases.map { .ioctl(3, $0, argument: 0) }

    /// Those of one call. What only a wrong program gets (EBADF and EFAULT of its own arguments) is in where KVM reports
    /// it for things that are not the program's to know.
    static func of(_ call: SystemCall) -> [Errno] {
        switch call {
        case .open:
            [
                .noSuchFileOrDirectory, .permissionDenied, .operationNotSupportedByDevice, .noSuchAddressOrDevice,
                .tooManyOpenFiles, .tooManyOpenFilesInSystem, .interrupted, .noMemory,
            ]
        case .read: [.interrupted, .ioError]
        case .close: [.interrupted, .ioError]
        case .ioctl(_, let request, _): of(request)
        case .duplicate: [.badFileDescriptor, .tooManyOpenFiles]
        case .memfdCreate: [.tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory]
        case .advise: [.noMemory, .invalidArgument, .resourceTemporarilyUnavailable]
        case .ftruncate: [.interrupted, .fileTooLarge, .notPermitted, .noSpace]
        case .mmap: [.noMemory, .permissionDenied, .resourceTemporarilyUnavailable, .operationNotSupportedByDevice]
        case .mmapPrivate: [.noMemory]
        case .munmap: [.noMemory]
        case .mprotect: [.noMemory, .permissionDenied]
        case .punchHole: [.interrupted, .noMemory, .noSpace, .notPermitted, .notSupportedOnSocket, .ioError]
        case .allocate: [.interrupted, .noMemory, .noSpace]
        case .seekData: [.invalidArgument, .illegalSeek]
        case .discard: [.noMemory, .resourceTemporarilyUnavailable]
        case .residentPages: [.noMemory, .resourceTemporarilyUnavailable]
        case .populate: [.noMemory, .badAddress, .resourceTemporarilyUnavailable, .interrupted]
        }
    }

    private static func of(_ request: KVMRequest) -> [Errno] {
        switch request {
        case .getAPIVersion, .checkExtension, .getVCPUMapSize: [.inappropriateIOCTLForDevice]
        case .createVM: [.noMemory, .invalidArgument, .resourceBusy, .tooManyOpenFiles, .interrupted]
        case .getSupportedCPUID: [.argListTooLong, .noMemory, .badAddress]
        case .createVCPU: [.noMemory, .invalidArgument, .fileExists, .tooManyOpenFiles]
        case .setUserMemoryRegion: [.noMemory, .invalidArgument, .fileExists]
        case .setUserMemoryRegion2: [.noMemory, .invalidArgument, .fileExists, .badFileDescriptor]
        case .setTSSAddress: [.noMemory, .invalidArgument]
        case .createGuestMemfd: [.noMemory, .invalidArgument, .tooManyOpenFiles, .tooManyOpenFilesInSystem]
        case .setMemoryAttributes: [.noMemory, .invalidArgument, .inappropriateIOCTLForDevice, .badAddress]
        case .setMemoryAttributes2:
            [
                .resourceTemporarilyUnavailable, .noMemory, .invalidArgument, .inappropriateIOCTLForDevice, .badAddress,
            ]
        case .preFaultMemory:
            [
                .interrupted, .resourceTemporarilyUnavailable, .noMemory, .noSuchFileOrDirectory, .badAddress,
                .notSupportedOnSocket, .ioError,
            ]
        case .run: [.interrupted, .badAddress, .noMemory, .invalidArgument]
        case .getRegisters, .getSpecialRegisters: [.noMemory]
        case .setRegisters, .setSpecialRegisters: [.invalidArgument, .noMemory]
        case .enableCapability: [.invalidArgument, .noMemory]
        case .getDebugRegisters, .getMSRs, .getMSRIndexList, .getExtendedState, .getCPUID, .getDirtyLog,
            .clearDirtyLog, .resetDirtyRings:
            [.noMemory, .invalidArgument, .badAddress]
        case .setDebugRegisters, .setMSRs, .setExtendedState: [.invalidArgument, .noMemory]
        case .setCPUID: [.argListTooLong, .noMemory, .invalidArgument]
        }
    }
}
