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
        let machine = try VirtualMachine(
            descriptor: OwnedDescriptor(
                .ioctl(descriptor.rawValue, .createVM, argument: type.rawValue),
                of: descriptor.kernel
            ),
            VirtualMachine.ProcessorModel(
                mapSize: UInt64(clamping: try descriptor.request(.getVCPUMapSize)),
                identification: supportedIdentification()
            )
        )
        // Without it the kernel answers a guest's request for a conversion by itself: there is no such call.
        let mapGPARange = UInt64(1) << UInt64(CKVM_HC_MAP_GPA_RANGE)
        if UInt64(clamping: try value(of: .exitHypercall)) & mapGPARange != 0 {
            try machine.enable(.exitHypercall, mapGPARange)
        }
        return machine
    }

    /// The CPUID table that KVM can offer to guests.
    private func supportedIdentification() throws(KVMError) -> ProcessorIdentification {
        try ProcessorIdentification(filledBy: { table throws(KVMError) in
            try table.withStructure { address throws(KVMError) in
                _ = try descriptor.request(.getSupportedCPUID, address)
            }
        })
    }

    /// The model-specific registers that KVM keeps for guests (`KVM_GET_MSR_INDEX_LIST`).
    func modelSpecificRegisters() throws(KVMError) -> [UInt32] {
        var size = 256
        while true {
            var words = [UInt32](repeating: 0, count: 1 + size)
            words[0] = UInt32(clamping: size)
            do throws(KVMError) {
                _ = try descriptor.request(.getMSRIndexList, words: &words)
                return Array(words.dropFirst().prefix(Int(words[0])))
            } catch {
                // E2BIG: there are more registers than that.
                guard error.errno == .argListTooLong, size < 4096 else { throw error }
                size *= 2
            }
        }
    }
}
