import CKVM
import Custody

/// A virtual machine with its memory: what the kernel gives, before any processor runs.
struct GuestMachine: ~Copyable, Sendable {
    /// The slot of the guest program.
    static let bootSlot: UInt32 = 0

    /// The virtual machine.
    let virtualMachine: VirtualMachine
    /// The guest's RAM.
    let ram: any GuestRAM
    /// The pages that the host is kept from.
    let privatePages: PageBits
    /// The guest program's memory.
    let boot: BootMemory
    /// Its place in the guest's address space.
    let programSlot: BootSlot

    /// Makes a virtual machine whose RAM is all shared.
    ///
    /// - Parameter slots: Takes the slots of the RAM.
    static func make(
        _ device: borrowing KVMDevice,
        features: KVMFeatures,
        mode: KVMMode,
        layout: GuestMemoryLayout,
        sharedMemory: SharedMemoryKind = .memfd,
        boot placement: BootMemory.Placement,
        slots: inout SlotMap,
        kernel: any Kernel
    ) throws(KVMError) -> GuestMachine {
        let machine = try device.makeVirtualMachine(mode.virtualMachine)
        if features[.setTSSAddress] != 0 { try machine.setTaskStateSegment() }
        let boot = try BootMemory(placement, kernel: kernel)
        let programSlot = BootSlot(bootSlot, boot, of: machine)
        let ram = try mode.makeRAM(size: layout.memorySize, sharedMemory, machine: machine)
        for region in layout.regions {
            let number = slots.takeNumber()
            let offset = region.address.rawValue - layout.memoryStart
            try ram.bind(number, to: region, offset: offset, .shared, in: machine)
            slots.add(number, region)
            slots.settle(region, to: .shared, growth: 1)
        }
        return GuestMachine(
            virtualMachine: machine,
            ram: ram,
            privatePages: try PageBits(bounds: layout.bounds, kernel: kernel),
            boot: boot,
            programSlot: programSlot
        )
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
