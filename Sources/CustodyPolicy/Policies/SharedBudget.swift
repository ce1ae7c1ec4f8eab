import Custody

/// An upper bound on what the guest shares with the host, against a guest that makes the host map all of it.
///
/// Pages in transit to or from being shared count: they may be shared again when their hand-over is over.
public struct SharedBudget: Policy {
    /// The largest number of shared pages.
    public let pages: UInt64

    /// Allows at most so many base pages to be shared at a time.
    public init(pages: UInt64) { self.pages = pages }

    /// Delays a request to share that would exceed the budget: it may succeed once others are private again.
    ///
    /// - Complexity: O(log *n* + *k*) for *k* runs in the range asked for.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard request.target == .shared else { return .allow }
        let exposed = view.tally.exposed
        let added =
            view.pageCount(of: .private, in: request.range) + view.pageCount(of: .host, in: request.range)
        guard added > 0, added > pages || exposed > pages - added else { return .allow }
        return .defer(
            PolicyReason(
                rule: "shared-budget",
                "\(exposed) pages are shared, and \(added) more would exceed the budget of \(pages)"
            )
        )
    }
}
