import Custody

/// What a controller knows, behind its lock.
struct ControllerState: Sendable {
    /// The ownership of every page. A claimed page is in transit.
    var ownership: PageRunMap<Ownership>
    var tally: OwnershipTally
    var ledger: LeaseLedger
    /// Whom to ask to let go, by lease.
    var drains: [LeaseID: @Sendable (DrainRequest) -> Void] = [:]
    var memory = PolicyMemory()
    var claims: [Claim] = []
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
        ledger = LeaseLedger(bounds: layout.bounds)
        timeBoxes = TimeBoxes(bounds: layout.bounds)
    }

    /// Keeps everybody else away from the pages of a claim.
    mutating func add(_ claim: Claim) {
        claim.changes.forEach { change in
            ownership.set(change.range, to: .inTransit)
            tally.begin(change)
        }
        claims.append(claim)
    }

    /// Ends a claim: its pages are in the new ownership, or in the one before.
    mutating func conclude(_ work: Work, isChanged: Bool) {
        work.changes.forEach { change in
            ownership.set(change.range, to: isChanged ? change.to : change.from)
            tally.end(change, isChanged: isChanged)
            if isChanged, change.from == .shared { timeBoxes.close(change.range) }
        }
        claims.removeAll { $0.work.id == work.id }
    }

    /// Takes the draining hand-overs among those asked for whose pages nobody holds any more, to be carried out.
    mutating func takeReady(_ isMeant: (Claim) -> Bool) -> [Handover] {
        var ready: [Handover] = []
        for index in claims.indices where claims[index].phase == .draining && isMeant(claims[index]) {
            let isHeld = claims[index].changes.contains { ledger.isLeased($0.range) || isBeingDiscarded($0.range) }
            guard !isHeld, let handover = claims[index].handover else { continue }
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

    func isBeingDiscarded(_ range: PageRange) -> Bool { discards.values.contains { $0.overlaps(range) } }

    /// The number of hand-overs that are pending for a party.
    func pendingCount(for party: Party) -> Int {
        claims.count { $0.handover?.work.request.requester.party == party }
    }

    /// The number of hand-overs that are pending.
    var pendingCount: Int { claims.count { $0.handover != nil } }

    /// The claim of a hand-over.
    func index(of handover: Handover) -> Int? { claims.firstIndex { $0.handover === handover } }
}
