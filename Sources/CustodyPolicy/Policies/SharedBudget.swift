import Custody

/// An upper bound on what the guest shares with the host, against a guest that makes the host map all of it.
///
/// Pages in transit count as shared: they are again when their hand-over is withdrawn. A policy decides before anything is
/// claimed, so two requests that are decided at the same moment may together exceed the budget by the smaller of them.
public struct SharedBudget: Policy {
    /// The largest number of shared pages.
    public let pages: UInt64

    /// Allows at most so many base pages to be shared at a time.
    public init(pages: UInt64) { self.pages = pages }

    /// Delays a request to share that would exceed the budget: it may succeed once others are private again.
    ///
    /// - Complexity: O(*k*) in the number of runs of the ownership map.
    public func decide(_ request: ConversionRequest, in view: OwnershipView) -> PolicyDecision {
        guard request.target == .shared else { return .allow }
        func count(_ range: PageRange) -> UInt64 {
            view.pageCount(of: .shared, in: range) + view.pageCount(of: .inTransit, in: range)
        }
        let shared = view.layout.regions.reduce(0) { $0 + count($1) }
        let added = request.range.count - count(request.range)
        guard shared + added > pages else { return .allow }
        return .later(reason: "\(shared) pages are shared, and \(added) more would exceed the budget of \(pages)")
    }
}
