import Custody

/// The book-keeping of a back end: its slots, and what is prepared.
struct ChangeLedger: Sendable {
    /// A part of a file that ought to be empty, but whose pages the kernel did not drop.
    struct Residue: Sendable, Hashable {
        let visibility: Visibility
        let range: PageRange
    }

    /// The slots.
    var slots: SlotMap
    /// Parts of files to be emptied before they are used again.
    var residues: [Residue] = []
    /// Memory beside the guest's RAM.
    var readOnly: [ReadOnlyMemory] = []
    /// Where there is such memory, or will be in a moment.
    var readOnlyPlaces: [PageRange] = []
    /// Why no call succeeds any more.
    var lost: BackendError?
    /// Who is told.
    weak var observer: (any BackendObserver)?

    private var plans: [UInt64: ChangePlan] = [:]
    private var nextPlan: UInt64 = 0
    private var reserved = 0
    private let limit: Int

    /// A ledger that prepares changes up to so many slots.
    init(slots: SlotMap, limit: Int) {
        self.slots = slots
        self.limit = limit
    }

    /// Whether so many slots more can be had, beside those that are held for others.
    func hasRoom(for growth: Int, holding held: Int = 0) -> Bool {
        growth <= 0 || slots.slotCount + reserved - held + growth <= limit
    }

    /// Keeps a plan, with the slots that it holds.
    mutating func add(_ plan: ChangePlan) -> Reservation {
        nextPlan += 1
        plans[nextPlan] = plan
        reserved += plan.slots
        return Reservation(rawValue: nextPlan)
    }

    /// Takes a plan out, with the slots that it holds.
    mutating func remove(_ reservation: Reservation) -> ChangePlan? {
        guard let plan = plans.removeValue(forKey: reservation.rawValue) else { return nil }
        reserved -= plan.slots
        return plan
    }
}
