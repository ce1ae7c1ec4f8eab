import Custody

/// What a controller knows, behind its lock.
struct ControllerState: Sendable {
    /// The ownership of every page. A claimed page is in transit.
    private(set) var ownership: PageRunMap<Ownership>
    var tally: OwnershipTally
    var ledger: LeaseLedger
    /// What the host may touch by `ownership`, or less.
    let hostAccess: HostAccessMap
    /// The copies in and out that are under way without a lease in the ledger.
    let accesses = AccessBoard()
    /// Whom to ask to let go.
    var drains = DrainBoard()
    /// What has been let go of, and not been looked at yet.
    private var released = ReleasedRanges()
    var memory = PolicyMemory()
    var claims = ClaimTable()
    private(set) var pending = PendingCount()
    /// Pages whose contents are being discarded: no change of them may begin.
    var discards: [UInt64: PageRange] = [:]
    var nextDiscard: UInt64 = 1
    var timeBoxes = TimeBoxes()
    /// What the guest has given up by itself.
    var offers = GuestOffers()
    var listeners: [ListenerPort] = []
    var lastListener = ListenerID(rawValue: 0)
    var nextTicket: UInt64 = 1
    var early: [BackendHandover: EarlyEnd] = [:]
    private(set) var lost: BackendError?
    /// What became of the snapshot that this was made from.
    var restoration: Restoration?

    init(ownership: PageRunMap<Ownership>, layout: GuestMemoryLayout) {
        self.ownership = ownership
        tally = OwnershipTally(ownership, of: layout)
        ledger = LeaseLedger()
        hostAccess = HostAccessMap(ownership, of: layout)
    }

    /// Keeps everybody else away from the pages of a claim.
    mutating func add(_ claim: Claim) {
        claim.changes.forEach { change in
            put(change.range, into: .inTransit)
            tally.begin(change)
        }
        claims.add(claim)
        if let handover = claim.handover { pending[handover.work.request.requester.party] += 1 }
    }

    /// Ends a claim.
    mutating func conclude(_ work: Work, _ ending: Ending) {
        work.changes.forEach { change in
            ending.forEachRun(of: change) { range, final in
                put(range, into: final)
                tally.end(change, range.count, final)
                if change.from == .shared, final != .shared { timeBoxes.close(range) }
            }
        }
        if claims.remove(work.id)?.handover != nil { pending[work.request.requester.party] -= 1 }
    }

    private mutating func put(_ range: PageRange, into state: Ownership) {
        ownership.set(range, to: state)
        hostAccess.set(range, isAllowed: state.allows(.host))
    }

    /// Nothing succeeds any more, a copy in or out included.
    mutating func lose(_ error: BackendError) {
        lost = error
        hostAccess.close()
    }

    /// Makes the change of a claim a hand-over that is pending.
    mutating func register(_ handover: Handover) {
        claims[handover.work.id]?.handover = handover
        pending[handover.work.request.requester.party] += 1
    }

    /// Takes the hand-overs among some claims that are draining and whose pages nobody holds any more, to be carried out.
    mutating func takeReady(_ claims: [Claim]) -> [Handover] {
        var ready: [Handover] = []
        for claim in claims where claim.phase == .draining {
            let mustWait = claim.changes.contains { isHeld($0.range) || isBeingDiscarded($0.range) }
            guard !mustWait, let handover = claim.handover else { continue }
            begin(claim.work.id)
            ready.append(handover)
        }
        return ready
    }

    /// Notes that somebody has let go of pages.
    ///
    /// - Returns: whether ``takeReleased()`` is to be called, away from the caller.
    /// - Complexity: O(log *n*) in the number of runs of all claims, expected.
    mutating func noteReleased(_ range: PageRange) -> Bool {
        guard !claims.isEmpty, claims.firstPage(in: range) != nil else { return false }
        return released.add(range)
    }

    /// Takes hand-overs whose pages have been let go of and that nobody holds any more, to be carried out: the oldest first,
    /// however many releases there were since somebody looked.
    ///
    /// - Returns: them, and whether there may be more.
    /// - Complexity: O(*w* log *n*) for *n* runs of all claims, and at most *w* pages and as many changes of one claim.
    mutating func takeReleased() -> (ready: [Handover], isMore: Bool) {
        var met: [Claim] = []
        var pages = ControllerState.window
        while pages > 0 {
            guard let range = released.next() else { return (takeReady(ClaimTable.byAge(met)), false) }
            guard let first = claims.firstPage(in: range), let rest = range.suffix(from: first) else { continue }
            // A page is in one claim: there are at most as many claims as pages.
            let window = PageRange(uncheckedStart: first.rawValue, count: min(rest.count, pages))
            pages -= window.count
            var end = window.end
            for claim in claims.meeting(window) {
                claim.changes.forEach { if $0.range.start.rawValue < window.end { end = max(end, $0.range.end) } }
                met.append(claim)
            }
            if let later = range.suffix(from: PageNumber(end)) { released.putBack(later) }
        }
        return (takeReady(ClaimTable.byAge(met)), true)
    }

    /// How many pages are looked at in one go.
    private static let window: UInt64 = 64

    /// Has a claim carried out from now on.
    mutating func begin(_ id: ClaimID, as phase: Claim.Phase = .running) {
        guard var claim = claims[id] else { return }
        claim.phase = phase
        claim.lastListener = claim.lastListener ?? lastListener
        claims[id] = claim
    }

    /// Those of the listeners that are told of a claim as it goes.
    func listeners(of claim: ClaimID) -> [ListenerPort] {
        guard !listeners.isEmpty, let last = claims[claim]?.lastListener else { return [] }
        return listeners.filter { $0.id <= last }
    }

    /// Takes those that have joined since a claim began: they are told what becomes of it before it is over.
    mutating func takeLateListeners(of claim: ClaimID) -> [ListenerPort] {
        guard !listeners.isEmpty, let last = claims[claim]?.lastListener, last < lastListener else { return [] }
        claims[claim]?.lastListener = lastListener
        return listeners.filter { $0.id > last }
    }

    /// Whether the host holds some of the pages. Where it only copies at the moment, the end of that is going to be told.
    func isHeld(_ range: PageRange) -> Bool { ledger.isLeased(range) || accesses.isBusy(range) }

    /// Who of the host holds pages, by first page. The end of a copy among them is going to be told.
    func blockers(of range: PageRange, at now: Timestamp) -> [Blocker] {
        let leases = ledger.blockers(of: range)
        let copies = accesses.blockers(of: range, at: now)
        return copies.isEmpty ? leases : (leases + copies).sorted { $0.range.start < $1.range.start }
    }

    /// Who of the host holds pages that changes take from it. From now on no copy of them begins.
    func close(_ changes: Changes, at now: Timestamp) -> [Blocker] {
        var blockers: [Blocker] = []
        changes.forEach { change in
            guard case .handOver(from: .host, _) = change.move else { return }
            hostAccess.set(change.range, isAllowed: false)
            if isHeld(change.range) { blockers += self.blockers(of: change.range, at: now) }
        }
        return blockers
    }

    /// Copies of the pages of changes that are not made begin again.
    func open(_ changes: Changes) {
        changes.forEach { hostAccess.set($0.range, isAllowed: $0.from.allows(.host)) }
    }

    func isBeingDiscarded(_ range: PageRange) -> Bool { discards.values.contains { $0.overlaps(range) } }
}
