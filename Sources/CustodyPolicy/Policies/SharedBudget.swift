import Custody

/// An upper bound on what the guest shares with the host, against a guest that makes the host map all of it.
///
/// Pages in transit to or from being shared count: they may be shared again when their hand-over is over.
public struct SharedBudget: Policy {
    /// What becomes of a request that would exceed the budget.
    public enum Excess: String, Sendable, Hashable, CaseIterable {
        /// It is put off: it may succeed once other pages are private again.
        case `defer`
        /// It goes on as far as the budget reaches. What must be all or nothing is put off.
        case clamp
        /// It is denied.
        case deny
    }

    /// The largest number of shared pages.
    public let pages: UInt64
    /// What becomes of a request that would exceed it.
    public let excess: Excess

    /// Allows at most so many base pages to be shared at a time.
    public init(pages: UInt64, over excess: Excess = .defer) {
        self.pages = pages
        self.excess = excess
    }

    /// Stops what would exceed the budget.
    ///
    /// - Complexity: O(*k* log *n*) for *k* regions of RAM in the range asked for, however many runs there are.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard request.target == .shared else { return .allow }
        let exposed = view.tally.exposed
        let added =
            view.pageCount(of: .private, in: request.range) + view.pageCount(of: .host, in: request.range)
        let left = exposed < pages ? pages - exposed : 0
        guard added > left else { return .allow }
        let reason = PolicyReason(
            rule: "shared-budget",
            "\(exposed) pages are shared, and \(added) more would exceed the budget of \(pages)"
        )
        switch excess {
        case .deny: return .deny(reason)
        case .defer: return .defer(reason)
        case .clamp:
            let fitting = view.prefix(of: request.range, atMost: left) { $0 == .private || $0 == .host }
            guard left >= view.layout.granularity.pages, let fitting else { return .defer(reason) }
            return .clamp(to: fitting, reason)
        }
    }
}
