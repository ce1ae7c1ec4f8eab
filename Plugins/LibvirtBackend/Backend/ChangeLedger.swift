#if Libvirt
import Custody

/// The book-keeping of a back end: who owns what, what is prepared, and what waits for whom.
struct ChangeLedger: Sendable {
    /// Where a module is.
    enum Presence: Sendable, Hashable {
        /// Not in the guest.
        case absent
        /// In the guest.
        case plugged
        /// Given up by the guest; the host has not taken it yet.
        case released
    }

    /// How far the question has got what the guest has.
    enum Inquiry: Sendable, Hashable {
        case none
        case underWay
        /// It is asked again when there is an answer.
        case underWayAndWanted
    }

    /// What is kept of a change from its preparation until it is finished or undone.
    struct Plan: Sendable {
        let change: OwnershipChange
        /// The module's number.
        let module: Int
        /// Whether all memory behind the module was taken for this.
        let tookMemory: Bool
    }

    /// A change that waits for somebody to let go.
    struct Waiting: Sendable {
        let plan: Plan
        let reservation: Reservation
        /// Whether the guest has the module of a change from the host already, and it cannot be withdrawn.
        var isPlugged = false
        /// Whether the guest is being given the module this moment: it is too late to withdraw it.
        var isPlugging = false
        /// Who was named last.
        var holders: [Holder] = []
        /// The next look at it.
        var timer: TimerID?
    }

    /// The ownership of every page; one in transit has the one before.
    var ownership: PageRunMap<Ownership>
    /// Where each module is.
    var presence: [Presence]
    /// What is prepared or made, and not ended.
    var plans: [Reservation: Plan] = [:]
    /// What waits.
    var waiting: [BackendHandover: Waiting] = [:]
    /// Why no call succeeds any more.
    var lost: BackendError?
    /// Whether the back end has been shut down.
    var isEnded = false
    /// Whether a new connection to libvirt is being made.
    var isReconnecting = false
    /// Whether libvirt is being asked what the guest has.
    var inquiry = Inquiry.none
    /// Whether the observer is told what came of that, news or not.
    var isToTell = false
    /// How often libvirt has told what became of a module.
    var heard: UInt64 = 0
    /// Who is told.
    weak var observer: (any BackendObserver)?

    private var next: UInt64 = 0

    init(ownership: PageRunMap<Ownership>, presence: [Presence]) {
        self.ownership = ownership
        self.presence = presence
    }

    /// Keeps a plan.
    mutating func add(_ plan: Plan) -> Reservation {
        next += 1
        let reservation = Reservation(rawValue: next)
        plans[reservation] = plan
        return reservation
    }

    /// Enters a change that waits.
    mutating func wait(_ waiting: Waiting) -> BackendHandover {
        next += 1
        let handover = BackendHandover(rawValue: next)
        self.waiting[handover] = waiting
        return handover
    }

    /// Whether the host has pages, and nothing is about to change that.
    func isAtRest(_ range: PageRange) -> Bool {
        !isEnded && ownership.runs(in: range).allSatisfy { $0.state.allows(.host) }
            && !plans.values.contains { $0.change.range.overlaps(range) }
    }

    /// Whether a module is being plugged in, or taken from the guest other than by waiting for it.
    func isMoving(_ module: Int) -> Bool {
        plans.contains { reservation, plan in
            plan.module == module && (plan.change.from == .host || plan.change.to == .host)
                && !waiting.values.contains { $0.reservation == reservation && !$0.isPlugging }
        }
    }

    /// The hand-over of a module to the host.
    func removal(of module: Int) -> BackendHandover? {
        waiting.first { $0.value.plan.module == module && $0.value.plan.change.to == .host }?.key
    }
}

#endif
