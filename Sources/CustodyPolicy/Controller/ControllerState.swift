import Custody

/// What a controller knows, behind its lock.
struct ControllerState: Sendable {
    /// The ownership of every page. A claimed page is in transit.
    var ownership: PageRunMap<Ownership>
    var ledger: LeaseLedger
    var claims: [Claim] = []
    var nextClaim: UInt64 = 1
    var nextTicket: UInt64 = 1
    var early: [BackendHandover: EarlyEnd] = [:]
    var lost: BackendError?

    init(ownership: PageRunMap<Ownership>, ledger: LeaseLedger) {
        self.ownership = ownership
        self.ledger = ledger
    }

    /// Keeps everybody else away from the pages of a claim.
    mutating func add(_ claim: Claim) {
        claim.changes.forEach { ownership.set($0.range, to: .inTransit) }
        claims.append(claim)
    }

    /// Ends a claim: its pages are in the new ownership, or in the one before.
    mutating func conclude(_ id: UInt64, _ changes: Changes, isChanged: Bool) {
        changes.forEach { ownership.set($0.range, to: isChanged ? $0.to : $0.from) }
        claims.removeAll { $0.id == id }
    }

    /// Takes the draining hand-overs among those asked for whose pages nobody holds any more, to be carried out.
    mutating func takeReady(_ isMeant: (Claim) -> Bool) -> [Handover] {
        var ready: [Handover] = []
        for index in claims.indices where claims[index].phase == .draining && isMeant(claims[index]) {
            let isHeld = claims[index].changes.contains { ledger.isLeased($0.range) }
            guard !isHeld, let handover = claims[index].handover else { continue }
            claims[index].phase = .running
            ready.append(handover)
        }
        return ready
    }

    /// The number of hand-overs that are pending for a party.
    func pendingCount(for party: Party) -> Int { claims.count { $0.handover?.request.requester.party == party } }

    /// The claim of a hand-over.
    func index(of handover: Handover) -> Int? { claims.firstIndex { $0.handover === handover } }
}
