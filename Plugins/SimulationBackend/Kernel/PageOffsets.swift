import CustodyProtocols

/// Neighbouring pages of the file.
struct PageOffsets: Sequence, Sendable {
    let first: UInt64
    let count: UInt64

    func makeIterator() -> Iterator { Iterator(position: first, end: first + count) }

    struct Iterator: IteratorProtocol {
        fileprivate var position: UInt64
        fileprivate let end: UInt64

        mutating func next() -> PageOffset? {
            guard position < end else { return nil }
            defer { position += 1 }
            return PageOffset(position)
        }
    }

    /// The pages of all folios of this size that these pages are in, as far as the file goes.
    func covering(folios size: UInt64, within pageCount: UInt64) -> PageOffsets {
        let start = first / size * size
        let end = Swift.min((first + count + size - 1) / size * size, pageCount)
        return PageOffsets(first: start, count: end - start)
    }

    /// An operation on all of them.
    func operation(
        _ kind: CustodyProtocols.Operation.Kind,
        behavior: CustodyProtocols.Operation.CallerBehavior = .usesOutcome
    ) -> CustodyProtocols.Operation {
        Operation(kind, start: PageOffset(first), count: count, behavior: behavior)
    }
}
