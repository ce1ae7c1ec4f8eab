import CKVM

/// What this machine's KVM says it can do.
package struct KVMFeatures: Sendable, Hashable {
    /// What `KVM_CHECK_EXTENSION` returned for each capability.
    package let values: [KVMCapability: Int]

    /// Asks the device for every capability.
    init(of device: borrowing KVMDevice) throws(KVMError) {
        var values: [KVMCapability: Int] = [:]
        for capability in KVMCapability.allCases { values[capability] = try device.value(of: capability) }
        self.values = values
    }

    /// The answer for one capability; 0 means no.
    package subscript(capability: KVMCapability) -> Int { values[capability] ?? 0 }

    /// Why a mode cannot be used with this kernel, or `nil` where it can.
    package func obstacle(to mode: KVMMode) -> String? {
        switch mode {
        case .dual:
            let needed = Int(CKVM_GUEST_MEMFD_MMAP | CKVM_GUEST_MEMFD_INIT_SHARED)
            if self[.guestMemfdFlags] & needed != needed {
                return
                    "KVM_CAP_GUEST_MEMFD_FLAGS is \(self[.guestMemfdFlags]), not \(needed): a guest_memfd that can be mapped "
                    + "needs Linux 6.18"
            }
            return self[.userMemory2] == 0 ? "KVM_CAP_USER_MEMORY2 is absent: it needs Linux 6.8" : nil
        case .revoked:
            return self[.immediateExit] == 0 ? "KVM_CAP_IMMEDIATE_EXIT is absent: it needs Linux 4.13" : nil
        case .attributes:
            if self[.memoryAttributes] & Int(CKVM_MEMORY_ATTRIBUTE_PRIVATE) == 0 {
                return "KVM_CAP_MEMORY_ATTRIBUTES is \(self[.memoryAttributes]): KVM_SET_MEMORY_ATTRIBUTES answers "
                    + "ENOTTY, because no type of virtual machine here has private memory"
            }
            return "this kernel has it, but this version does not drive it: use ‘dual’ or ‘revoked’"
        case .inPlace:
            return "KVM_SET_MEMORY_ATTRIBUTES2 on a guest_memfd answers ENOTTY in every released kernel; the series "
                + "20260618-gmem-inplace-conversion-v8 that adds it is not merged"
        }
    }
}
