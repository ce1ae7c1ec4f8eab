/// Why a list of regions is no guest memory layout.
public enum LayoutError: Error, Sendable, Equatable {
    /// There is no region at all.
    case noMemory
    /// Two regions have pages in common.
    case overlap(PageRange, PageRange)
    /// A region does not start and end on a boundary of the granularity.
    case misaligned(PageRange, granularity: PageSize)
}

extension LayoutError {
    /// The index of the region in question in the list that is no layout: of two that overlap, that of the second.
    package func index(in regions: [PageRange]) -> Int? {
        switch self {
        case .noMemory: nil
        case .overlap(_, let region): regions.indices.lazy.filter { regions[$0].overlaps(region) }.dropFirst().first
        case .misaligned(let region, _): regions.firstIndex(of: region)
        }
    }
}

extension LayoutError: CustomStringConvertible {
    /// One sentence that names the regions in question.
    public var description: String {
        switch self {
        case .noMemory: "a guest needs at least one region of memory"
        case .overlap(let first, let second): "the regions \(first) and \(second) overlap"
        case .misaligned(let region, let granularity):
            "the region \(region) is not a multiple of \(ByteCount(granularity.bytes))"
        }
    }
}
