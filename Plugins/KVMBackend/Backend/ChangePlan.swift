/// What KVM needs for a change from its plan to its end.
public struct ChangePlan: Sendable {
    /// The pages' placement before.
    let before: Placement
    /// The placement asked for.
    let after: Placement
    /// The slots held: for the move until it is made, for moving back afterwards.
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
