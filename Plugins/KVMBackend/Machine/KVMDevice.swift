import CKVM
import SystemPackage

/// `/dev/kvm`, opened.
struct KVMDevice: ~Copyable, Sendable {
    /// The descriptor.
    let descriptor: OwnedDescriptor

    /// Where the device is.
    static let path = "/dev/kvm"

    /// Opens the device and checks the version of its interface, which is 12 since 2007.
    init(kernel: any Kernel, path: String = KVMDevice.path) throws(KVMError) {
        let descriptor = try OwnedDescriptor(
            .open(path: path, flags: FileDescriptor.AccessMode.readWrite.rawValue),
            of: kernel
        )
        guard try descriptor.request(.getAPIVersion) == 12 else {
            throw KVMError(.ioctl(descriptor.rawValue, .getAPIVersion, argument: 0), .notSupported)
        }
        self.descriptor = descriptor
    }

    /// What `KVM_CHECK_EXTENSION` says of a capability: 0 where the kernel has not got it.
    func value(of capability: KVMCapability) throws(KVMError) -> Int {
        try descriptor.request(.checkExtension, UInt(capability.rawValue))
    }

    /// Makes a virtual machine.
    func makeVirtualMachine(_ type: VirtualMachine.Kind = .default) throws(KVMError) -> VirtualMachine {
        try VirtualMachine(
            descriptor: OwnedDescriptor(
                .ioctl(descriptor.rawValue, .createVM, argument: type.rawValue),
                of: descriptor.kernel
            ),
            processorMapSize: UInt64(clamping: try descriptor.request(.getVCPUMapSize)),
            processorIdentification: supportedIdentification()
        )
    }

    /// The CPUID table that KVM can offer to guests.
    private func supportedIdentification() throws(KVMError) -> ProcessorIdentification {
        var size = 128
        while true {
            var table = ProcessorIdentification(capacity: size)
            do throws(KVMError) {
                try table.withStructure { address throws(KVMError) in
                    _ = try descriptor.request(.getSupportedCPUID, address)
                }
                return table
            } catch {
                // E2BIG: there are more entries than that.
                guard error.errno == .argListTooLong, size < 4096 else { throw error }
                size *= 2
            }
        }
    }
}
