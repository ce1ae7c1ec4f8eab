/// A virtual machine that a monitor has made, and what it lends of it.
///
/// The machine stays the monitor's: its processors and their loop, its interrupt controllers, its devices, and every slot but
/// those of ``slots``.
public struct AdoptedMachine: Sendable {
    /// The descriptor of the virtual machine (`KVM_CREATE_VM`). The back end has a duplicate, close-on-exec; this one stays the
    /// monitor's.
    public var descriptor: Int32
    /// The numbers of memory slots, of the address space 0, that the monitor leaves alone: one for each run of pages in one ownership, and
    /// ``spareSlots`` that only a change taken back may use.
    public var slots: ClosedRange<UInt32>
    /// What takes the machine's processors out of the guest.
    public var monitor: any MachineMonitor
    /// How long that may take.
    public var pauseLimit: Duration = .seconds(5)

    /// A machine, with five seconds for each pause.
    public init(descriptor: Int32, slots: ClosedRange<UInt32>, monitor: any MachineMonitor) {
        self.descriptor = descriptor
        self.slots = slots
        self.monitor = monitor
    }

    /// So many slots are kept for changes that are taken back.
    public static let spareSlots = 16
}
