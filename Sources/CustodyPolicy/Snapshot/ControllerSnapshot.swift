public import Custody

/// All that a controller knows at one moment, as a value: to look at, to compare, to keep, to go on from.
///
/// It is taken in one hold of the controller's lock, so that its parts agree with each other: the tally counts the map,
/// and the pages of each hand-over are in transit in it.
public struct ControllerSnapshot: Sendable, Equatable {
    /// A maximal run of RAM in one ownership.
    public struct Run: Sendable, Hashable, Codable {
        /// The pages.
        public let range: PageRange
        /// Their ownership.
        public let ownership: Ownership
    }

    /// A right of the host to touch pages.
    public struct Lease: Sendable, Hashable, Codable {
        /// Its number.
        public let id: LeaseID
        /// The pages.
        public let range: PageRange
        /// What kind of reference it is.
        public let kind: LeaseKind
        /// Who holds it.
        public let holder: Holder
        /// Since when.
        public let since: Timestamp
    }

    /// Pages in transit, and where they come from.
    public struct Transit: Sendable, Hashable, Codable {
        /// The pages.
        public let range: PageRange
        /// Their ownership before.
        public let before: Ownership
    }

    /// A change that is under way.
    public struct Change: Sendable, Hashable, Codable {
        /// The number of its ticket, where it is a pending hand-over.
        public let ticket: TicketID?
        /// Who asked.
        public let requester: Requester
        /// The pages asked for.
        public let range: PageRange
        /// The ownership that they are to be in.
        public let target: Ownership
        /// What is needed of the bytes.
        public let contents: ConversionRequest.Contents
        /// The terms of the policy.
        public let terms: PolicyTerms
        /// Since when they are in transit, where it is a hand-over.
        public let since: Timestamp?
        /// When it is given up, where that was asked for.
        public let deadline: Timestamp?
        /// How often the back end has been asked to carry the hand-over out.
        public let attempts: Int
        /// The pages in transit.
        public let transits: [Transit]
    }

    /// Shared pages that become private again by themselves.
    public struct TimeBox: Sendable, Hashable, Codable {
        /// When their time is over.
        public let due: Timestamp
        /// The time after which those still shared then are asked for again.
        public let period: Duration
        /// The pages that are still shared.
        public let ranges: [PageRange]
    }

    /// The version of the encoded form that this code writes, and the only one that it reads.
    public static let version = 1

    /// When it was taken, in the back end's time.
    public let time: Timestamp
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// The ownership of all RAM, from low to high.
    public let ownership: [Run]
    /// The number of base pages by ownership.
    public let tally: OwnershipTally
    /// What the host holds, the oldest first.
    public let leases: [Lease]
    /// The changes under way: the pending hand-overs, and those that a thread carries out at the moment.
    public let changes: [Change]
    /// What the rules remember.
    public let memory: PolicyMemory
    /// The time boxes that are open.
    public let timeBoxes: [TimeBox]
    /// The number that the next hand-over gets.
    public let nextTicket: UInt64
    /// What the back end said when it was lost, where it is.
    public let lost: String?

    /// The pending hand-overs, the oldest first.
    public var handovers: [Change] {
        changes.filter { $0.ticket != nil }.sorted { ($0.ticket?.rawValue ?? 0) < ($1.ticket?.rawValue ?? 0) }
    }

    init(_ state: ControllerState, _ layout: GuestMemoryLayout, _ time: Timestamp) {
        self.time = time
        self.layout = layout
        ownership = layout.regions.flatMap { region in
            state.ownership.runs(in: region).map { Run(range: $0.range, ownership: $0.state) }
        }
        tally = state.tally
        leases = state.ledger.entries.map { id, entry in
            Lease(id: id, range: entry.range, kind: entry.kind, holder: entry.holder, since: entry.since)
        }.sorted { $0.id < $1.id }
        changes = state.claims.all.map { claim in
            let request = claim.work.request
            let ticket = claim.handover?.ticket
            var transits: [Transit] = []
            claim.changes.forEach { transits.append(Transit(range: $0.range, before: $0.from)) }
            return Change(
                ticket: ticket?.id,
                requester: request.requester,
                range: claim.work.range,
                target: request.target,
                contents: request.contents,
                terms: claim.work.terms,
                since: ticket?.since,
                deadline: ticket?.deadline,
                attempts: ticket?.attempts ?? 0,
                transits: transits
            )
        }
        memory = state.memory
        timeBoxes = state.timeBoxes.boxes.map { TimeBox(due: $0.due, period: $0.period, ranges: $1) }
        nextTicket = state.nextTicket
        lost = state.lost.map { "\($0)" }
    }
}

extension MemoryController {
    /// All that the controller knows now.
    ///
    /// - Complexity: O(*n*) in the numbers of runs, leases and changes under way, all of it outside the lock but for
    ///   taking hold of them. The first change after that copies a path of O(log *n*) of the runs, and the list of the
    ///   leases or of the changes under way where it is one of these.
    public func snapshot() -> ControllerSnapshot {
        let copy = look { copy $0 }
        // Nothing in it is later than this.
        return ControllerSnapshot(copy, layout, executor.now)
    }
}
