import CKVM

/// What KVM says it can do: on this machine, or for one virtual machine.
package struct KVMFeatures: Sendable, Hashable {
    /// What `KVM_CHECK_EXTENSION` returned for each capability.
    package let values: [KVMCapability: Int]
    /// Whether one virtual machine was asked: its type is then made up for in the answers, or shows in what it does.
    private let isOfMachine: Bool

    /// Asks the device for every capability.
    init(of device: borrowing KVMDevice) throws(KVMError) { try self.init(device.descriptor, isOfMachine: false) }

    /// Asks a virtual machine for every capability.
    init(of machine: borrowing VirtualMachine) throws(KVMError) { try self.init(machine.descriptor, isOfMachine: true) }

    private init(_ descriptor: borrowing OwnedDescriptor, isOfMachine: Bool) throws(KVMError) {
        var values: [KVMCapability: Int] = [:]
        for capability in KVMCapability.allCases {
            values[capability] = try descriptor.request(.checkExtension, UInt(capability.rawValue))
        }
        self.values = values
        self.isOfMachine = isOfMachine
    }

    /// The answer for one capability; 0 means no.
    package subscript(capability: KVMCapability) -> Int { values[capability] ?? 0 }

    /// Why a mode cannot be used with this kernel, or `nil` where it can.
    ///
    /// For ``KVMMode/inPlace`` the answer takes more than numbers: the kernel's behaviour is looked at, on a virtual
    /// machine that is gone afterwards.
    func obstacle(to mode: KVMMode, on device: borrowing KVMDevice) throws(KVMError) -> String? {
        if let obstacle = obstacle(to: mode) { return obstacle }
        guard mode == .inPlace else { return nil }
        return try InPlaceInterface.look(at: device).obstacle
    }

    /// Why a mode cannot be used with the virtual machine that was asked, or `nil` where it can.
    func obstacle(to mode: KVMMode, in machine: borrowing VirtualMachine) throws(KVMError) -> String? {
        if let obstacle = obstacle(to: mode) { return obstacle }
        guard mode == .inPlace else { return nil }
        return try InPlaceInterface.look(at: machine).obstacle
    }

    /// What the numbers alone say.
    private func obstacle(to mode: KVMMode) -> String? {
        switch mode {
        case .dual:
            return obstacleToMapping
                ?? (self[.userMemory2] == 0 ? "KVM_CAP_USER_MEMORY2 is absent: it needs Linux 6.8" : nil)
        case .revoked:
            return self[.immediateExit] == 0 ? "KVM_CAP_IMMEDIATE_EXIT is absent: it needs Linux 4.13" : nil
        case .attributes: return obstacleToAttributes
        case .inPlace: return obstacleToProtection ?? obstacleToMapping
        }
    }

    private var obstacleToMapping: String? {
        let needed = Int(CKVM_GUEST_MEMFD_MMAP | CKVM_GUEST_MEMFD_INIT_SHARED)
        guard self[.guestMemfdFlags] & needed != needed else { return nil }
        return "KVM_CAP_GUEST_MEMFD_FLAGS is \(self[.guestMemfdFlags]), not \(needed): a guest_memfd that can be "
            + "mapped needs Linux 6.18"
    }

    private var obstacleToProtection: String? {
        guard !isOfMachine, self[.virtualMachineTypes] & 1 << Int(VirtualMachine.Kind.softwareProtected.rawValue) == 0
        else {
            return nil
        }
        return "KVM_CAP_VM_TYPES is \(self[.virtualMachineTypes]): there is no KVM_X86_SW_PROTECTED_VM, and so no "
            + "virtual machine with private memory (KVM on hardware with CONFIG_KVM_SW_PROTECTED_VM has it)"
    }

    private var obstacleToAttributes: String? {
        if self[.memoryAttributes] & Int(CKVM_MEMORY_ATTRIBUTE_PRIVATE) == 0 {
            return
                "KVM_CAP_MEMORY_ATTRIBUTES is \(self[.memoryAttributes]): no type of virtual machine here has private "
                + "memory, or attributes are those of guest_memfds (the mode in-place)"
        }
        if self[.guestMemfd] == 0 { return "KVM_CAP_GUEST_MEMFD is absent: it needs Linux 6.8" }
        return obstacleToProtection
    }
}
