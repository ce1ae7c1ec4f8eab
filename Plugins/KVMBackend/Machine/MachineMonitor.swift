/// A monitor that has a virtual machine of its own, and has its memory, or part of it, looked after by a ``KVMBackend``.
///
/// None of these is called with a lock of the package's held, and never two of them at a time for one back end. They are not to
/// call the back end.
public protocol MachineMonitor: AnyObject, Sendable {
    /// Takes every virtual processor out of the guest, and keeps it out until ``resumeProcessors()``.
    ///
    /// Between the two, memory slots are replaced: a processor that went on would find no memory. A thread that is in a call
    /// of this package's is out of the guest for as long as that takes, and is not to be waited for: it may be the caller.
    ///
    /// - Returns: `false` where one does not come out in time; then none is kept out any longer.
    func pauseProcessors(within limit: Duration) -> Bool

    /// Lets them in again.
    func resumeProcessors()

    /// Memory is about to come into the guest's address space. The monitor takes its own slots away that are there, and fills
    /// in what the guest is to find. The processors are out.
    ///
    /// - Parameter memory: the regions, in the order of the layout. The addresses are good until the back end is gone.
    func memoryArrives(_ memory: [HostMapping])

    /// Memory has left the guest's address space. The monitor may put slots of its own there, with what it takes from the
    /// mappings. The processors are out.
    func memoryLeaves(_ memory: [HostMapping])
}

extension MachineMonitor {
    /// Nothing is there, and the guest finds zeroes.
    public func memoryArrives(_ memory: [HostMapping]) {}

    /// The guest finds nothing there from now on.
    public func memoryLeaves(_ memory: [HostMapping]) {}
}
