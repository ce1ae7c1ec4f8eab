import CustodyProtocols

/// Neighbouring pages of the file.
struct PageOffsets: Sequence, Sendable {
    let first: UInt64
    let count: UInt64

    func makeIterator() -> AnyIterator<PageOffset> {
        var next = first
        let end = first + count
        return AnyIterator {
            guard next < end else { return nil }
            defer { next += 1 }
            return PageOffset(next)
        }
    }

    /// An operation on all of them.
    func operation(
        _ kind: CustodyProtocols.Operation.Kind,
        behavior: CustodyProtocols.Operation.CallerBehavior = .usesOutcome
    ) -> CustodyProtocols.Operation {
        Operation(kind, start: PageOffset(first), count: count, behavior: behavior)
    }
}
