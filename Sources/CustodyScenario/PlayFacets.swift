import Custody
import CustodyProtocols

/// What a play needs of a back end beside its controller: nothing by which an ownership or contents could change without
/// the controller.
struct PlayFacets {
    let executor: any CompletionExecutor
    let guestAgent: (any GuestAgent)?
    let neighbours: NeighbourPlayer?
    let memoryMeter: (any MemoryMeter)?
    let kernel: KernelPlayer?
    private let memory: any HostMemory

    init(_ backend: any MemoryBackend) {
        executor = backend.executor
        guestAgent = backend.guestAgent
        neighbours = backend.neighbours.map(NeighbourPlayer.init)
        memoryMeter = backend.memoryMeter
        kernel = (backend as? any KernelDriven)?.kernelDriver.map(KernelPlayer.init)
        memory = backend
    }

    /// Reaches for a byte past the ledger, to see what stops it.
    func probe(_ address: GuestPhysicalAddress) throws(BackendError) {
        var bytes: [UInt8] = [0]
        var span = bytes.mutableSpan
        try memory.read(&span, from: address)
    }
}
