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

    var kernel: SimulatedKernel
    /// The pages that the guest has given up.
    var reclaimed: PageRunMap<Bool>
    var stale: [Reservation: Stale] = [:]
    var pending: [BackendHandover: Pending] = [:]
    var nextNumber: UInt64 = 0
    var random: SplitMix64
    var faults: FaultPlan
    var lost: BackendError?
    var isWorkSubmitted = false
    weak var observer: (any BackendObserver)?
}
