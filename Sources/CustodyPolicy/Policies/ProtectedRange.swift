public import Custody

/// Pages that keep their ownership once they have it: firmware, a guest's page tables.
public struct ProtectedRange: Policy {
    /// The pages.
    public let range: PageRange
    /// What they must not become.
    public let forbidden: Set<Ownership>

    /// Forbids pages to become one of `forbidden`.
    public init(_ range: PageRange, neverBecoming forbidden: Set<Ownership>) {
        self.range = range
        self.forbidden = forbidden
    }

    /// Denies a request that would move a page of the range to a forbidden ownership.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard forbidden.contains(request.target), request.range.overlaps(range) else { return .allow }
        return .deny(PolicyReason(rule: "protect", "\(range) never becomes \(request.target)"))
    }
}
