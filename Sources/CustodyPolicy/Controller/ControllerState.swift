import Custody

/// What a controller knows, behind its lock.
struct ControllerState: Sendable {
    /// The ownership of every page. A claimed page is in transit.
    var ownership: PageRunMap<Ownership>
    var tally: OwnershipTally
    var ledger: LeaseLedger
    var accesses = AccessTable()
    /// Whom to ask to let go, by lease.
    var drains: [LeaseID: @Sendable (DrainRequest) -> Void] = [:]
    var memory = PolicyMemory()
    var claims: [Claim] = []
    private(set) var pending = PendingCount()
    /// Pages whose contents are being discarded: no change of them may begin.
    var discards: [UInt64: PageRange] = [:]
    var timeBoxes: TimeBoxes
    var listeners: [ListenerPort] = []
    var lastListener = ListenerID(rawValue: 0)
    var nextClaim: UInt64 = 1
    var nextTicket: UInt64 = 1
    var early: [BackendHandover: EarlyEnd] = [:]
    var lost: BackendError?
    /// What became of the snapshot that this was made from.
    var restoration: Restoration?

    init(ownership: PageRunMap<Ownership>, layout: GuestMemoryLayout) {
        self.ownership = ownership
        tally = OwnershipTally(ownership, of: layout)
        ledger = LeaseLedger()
        timeBoxes = TimeBoxes(bounds: layout.bounds)
    }

    /// Keeps everybody else away from the pages of a claim.
    mutating func add(_ claim: Claim) {
        claim.changes.forEach { change in
            ownership.set(change.range, to: .inTransit)
            tally.begin(change)
        }
        claims.append(claim)
        if let handover = claim.handover { pending[handover.work.request.requester.party] += 1 }
    }

    /// Ends a claim.
    mutating func conclude(_ work: Work, _ ending: Ending) {
        work.changes.forEach { change in
            ending.forEachRun(of: change) { range, final in
                ownership.set(range, to: final)
                tally.end(change, range.count, final)
                if change.from == .shared, final != .shared { timeBoxes.close(range) }
            }
        }
        guard let index = claims.firstIndex(where: { $0.work.id == work.id }) else { return }
        if let handover = claims.remove(at: index).handover { pending[handover.work.request.requester.party] -= 1 }
    }

    /// Makes the change of a claim a hand-over that is pending.
    mutating func register(_ handover: Handover, at index: Int) {
        claims[index].handover = handover
        pending[handover.work.request.requester.party] += 1
    }

    /// Takes the draining hand-overs among those asked for whose pages nobody holds any more, to be carried out.
    mutating func takeReady(_ isMeant: (Claim) -> Bool) -> [Handover] {
        var ready: [Handover] = []
        for index in claims.indices where claims[index].phase == .draining && isMeant(claims[index]) {
            let mustWait = claims[index].changes.contains { isHeld($0.range) || isBeingDiscarded($0.range) }
            guard !mustWait, let handover = claims[index].handover else { continue }
            begin(&claims[index])
            ready.append(handover)
        }
        return ready
    }

    /// Has a claim carried out from now on.
    func begin(_ claim: inout Claim) {
        claim.phase = .running
        claim.lastListener = claim.lastListener ?? lastListener
    }

    /// Those of the listeners that are told of a claim as it goes.
    func listeners(upTo last: ListenerID?) -> [ListenerPort] {
        guard let last, !listeners.isEmpty else { return [] }
        return listeners.filter { $0.id <= last }
    }

    /// Whether the host holds some of the pages. Where it only copies at the moment, the end of that is going to be told.
    func isHeld(_ range: PageRange) -> Bool { ledger.isLeased(range) || accesses.isBusy(range) }

    /// Who of the host holds pages, by first page.
    func blockers(of range: PageRange) -> [Blocker] {
        let leases = ledger.blockers(of: range)
        let copies = accesses.blockers(of: range)
        return copies.isEmpty ? leases : (leases + copies).sorted { $0.range.start < $1.range.start }
    }

    func isBeingDiscarded(_ range: PageRange) -> Bool { discards.values.contains { $0.overlaps(range) } }

    /// The claim of a hand-over.
    func index(of handover: Handover) -> Int? { claims.firstIndex { $0.handover === handover } }
}
