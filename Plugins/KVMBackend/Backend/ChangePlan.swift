import Custody

/// What is kept of a change from its preparation until it is finished or undone.
struct ChangePlan: Sendable {
    /// The change.
    let change: OwnershipChange
    /// The pages' placement before.
    let before: Placement
    /// The placement asked for.
    let after: Placement
    /// The slots held: for the commit until then, for an undo afterwards.
    var slots: Int

    /// Whether the pages are converted: made private, or shared again.
    var isConversion: Bool { before.visibility != after.visibility }

    /// Where a page is, for either side.
    struct Placement: Sendable, Hashable {
        /// What the guest finds.
        let backing: Backing
        /// Whether the host finds it.
        let visibility: Visibility
    }
}
