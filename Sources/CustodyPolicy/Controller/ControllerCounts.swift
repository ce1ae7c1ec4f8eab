import Custody

/// How many entries a controller keeps, list by list: what no guest may make grow beyond the limits.
package struct ControllerCounts: Sendable {
    /// Pending hand-overs, whoever asked for them.
    package let pending: Int
    /// Those that the guest asked for.
    package let pendingOfGuest: Int
    /// Changes under way, the pending ones included.
    package let claims: Int
    /// Places for changes under way: as many as there have been at a time.
    package let claimPlaces: Int
    /// What the host holds.
    package let leases: Int
    /// Holders that have asked to be asked.
    package let drains: Int
    /// Time boxes.
    package let timeBoxes: Int
    /// Ranges whose contents are being discarded.
    package let discards: Int
    /// Ends that the back end has told before the change was known to be pending.
    package let earlyEnds: Int
    /// What the rules remember.
    package let marks: Int
    /// Runs of pages in one ownership.
    package let runs: Int

    init(_ state: borrowing ControllerState) {
        pending = state.pending.total
        pendingOfGuest = state.pending[.guest]
        claims = state.claims.count
        claimPlaces = state.claims.placeCount
        leases = state.ledger.entries.count
        drains = state.drains.count
        timeBoxes = state.timeBoxes.count
        discards = state.discards.count
        earlyEnds = state.early.count
        marks = state.memory.marks.count
        runs = state.ownership.runCount
    }
}

extension MemoryController {
    /// How many entries there are now.
    package var counts: ControllerCounts { look { ControllerCounts($0) } }
}
