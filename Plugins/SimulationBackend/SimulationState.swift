import Custody
import CustodyProtocols

/// What a simulation knows, behind its lock.
struct SimulationState: Sendable {
    /// Bytes that a committed change took from a page, until it is finished or undone.
    typealias Stale = [(page: PageOffset, bytes: [UInt8])]

    /// A hand-over that the protocol completes by itself.
    struct Pending {
        let change: OwnershipChange
        let pages: PageOffsets
    }

    /// What another process has mapped.
    struct Neighbour {
        let range: PageRange
        let process: Int32
    }

    var kernel: SimulatedKernel
    /// The pages that the guest has given up.
    var reclaimed: PageRunMap<Bool>
    var stale: [Reservation: Stale] = [:]
    var pending: [BackendHandover: Pending] = [:]
    /// Hand-overs that wait for others than the kernel.
    var waiting: [BackendHandover: OwnershipChange] = [:]
    /// What the guest says when it is asked for a module.
    var answer = RemovalAnswer.accept
    /// Modules that the guest has given up and that are not the host's yet.
    var released: [PageRange] = []
    /// Modules that the guest was asked for, and that are not wanted any more.
    var unwanted: [PageRange] = []
    /// Processes beside this one.
    var neighbours: [String: Neighbour] = [:]
    var nextNumber: UInt64 = 0
    var random: SplitMix64
    var faults: FaultPlan
    var lost: BackendError?
    var isWorkSubmitted = false
    weak var observer: (any BackendObserver)?
}
