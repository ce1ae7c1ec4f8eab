import Custody

/// The memory half of a guest: a virtual machine, whoever has made it, and the RAM that is in its slots.
struct MachineMemory: ~Copyable, Sendable {
    /// The virtual machine.
    let virtualMachine: VirtualMachine
    /// The guest's RAM.
    let ram: any GuestRAM
    /// The pages that the host is kept from.
    let privatePages: PageBits

    /// Makes RAM, all shared, that the guest does not find yet.
    init(
        _ virtualMachine: consuming VirtualMachine,
        _ mode: KVMMode,
        _ layout: GuestMemoryLayout,
        _ sharedMemory: SharedMemoryKind
    ) throws(KVMError) {
        let ram = try mode.makeRAM(size: layout.memorySize, sharedMemory, machine: virtualMachine)
        let privatePages = try PageBits(bounds: layout.bounds, kernel: virtualMachine.descriptor.kernel)
        self.virtualMachine = virtualMachine
        self.ram = ram
        self.privatePages = privatePages
    }

    /// Memory that is not let go.
    private static let kept = Locked<[any GuestRAM]>([])

    /// Keeps the RAM as long as the process: a guest may have it, and would find whatever is at its addresses next.
    func keep() { MachineMemory.kept.withLock { $0.append(ram) } }

    /// Puts all regions into the guest's address space, or none. RAM that KVM does not take out again is kept.
    ///
    /// - Parameter slots: Takes their slots.
    func bind(_ layout: GuestMemoryLayout, _ slots: inout SlotMap) throws(KVMError) {
        var bound: [UInt32] = []
        for region in layout.regions {
            let number = slots.takeNumber()
            let offset = region.address.rawValue - layout.memoryStart
            do throws(KVMError) { try ram.bind(number, to: region, offset: offset, .shared, in: virtualMachine) } catch
            {
                do throws(KVMError) { for number in bound { try virtualMachine.removeSlot(number) } } catch { keep() }
                throw error
            }
            bound.append(number)
            slots.add(number, region)
            slots.settle(region, to: .shared, growth: 1)
        }
    }
}

extension GuestMemoryLayout {
    /// The guest-physical byte address that memory for all of RAM begins at: a multiple of 2 MiB.
    var memoryStart: UInt64 { bounds.address.rawValue / PageSize.large.bytes * PageSize.large.bytes }

    /// The size of memory for all of RAM in bytes, from ``memoryStart`` on: a multiple of 2 MiB.
    var memorySize: UInt64 {
        let size = bounds.address.rawValue - memoryStart + bounds.byteCount
        return (size + PageSize.large.bytes - 1) / PageSize.large.bytes * PageSize.large.bytes
    }
}
