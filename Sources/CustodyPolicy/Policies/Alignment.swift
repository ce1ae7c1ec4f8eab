public import Custody

/// The smallest pieces that ownership may come in, against guests that tear large pages apart.
///
/// What is judged is the run of pages that comes to be, with the neighbours that are as asked already: a request that is
/// carried out piece by piece, and continued, is as good as one at once.
public struct Alignment: Policy {
    /// Both ends of a run lie on a boundary of this size.
    public let unit: PageSize
    /// The smallest number of base pages of a run.
    public let minimumPages: UInt64

    /// Asks for runs with both ends on boundaries of `unit`, of at least so many base pages.
    public init(unit: PageSize, minimumPages: UInt64 = 1) {
        self.unit = unit
        self.minimumPages = minimumPages
    }

    /// Denies a request that would make a run too small, or with an end off the boundaries. Where RAM itself begins or
    /// ends off a boundary, a run may.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard !view.isContinuation else { return .allow }
        for piece in view.layout.memory(in: request.range) {
            guard let region = view.layout.region(containing: piece.start) else { continue }
            // What the request's limits leave for the next time is going to follow.
            let whole = view.asked?.intersection(region) ?? piece
            let run = view.run(of: request.target, around: whole)
            let isAligned =
                (run.start.rawValue % unit.pages == 0 || run.start == region.start)
                && (run.end % unit.pages == 0 || run.end == region.end)
            guard isAligned else {
                return .deny(
                    PolicyReason(rule: "alignment", "\(run) does not end on boundaries of \(ByteCount(unit.bytes))")
                )
            }
            guard run.count >= minimumPages || run == region else {
                let text = "\(run) is less than \(minimumPages) pages"
                return .deny(PolicyReason(rule: "alignment", text))
            }
        }
        return .allow
    }
}
