/// Where the guest has RAM, and in what units its ownership can change.
///
/// The regions are sorted, do not overlap and do not touch each other: two neighbours are one region.
public struct GuestMemoryLayout: Sendable, Equatable {
    /// The runs of RAM, from low to high. What is not in one of them is a hole (MMIO or nothing).
    public let regions: [PageRange]

    /// The unit of every change of ownership.
    public let granularity: PageSize

    /// A layout of the given runs of RAM, in any order.
    ///
    /// - Throws: ``LayoutError`` where two regions overlap, one is not a multiple of the granularity, or there is none.
    /// - Complexity: O(*n* log *n*) in the number of regions.
    public init(regions: [PageRange], granularity: PageSize = .base) throws(LayoutError) {
        guard !regions.isEmpty else { throw .noMemory }
        var merged: [PageRange] = []
        for region in regions.sorted(by: { $0.start < $1.start }) {
            guard region.isAligned(to: granularity) else { throw .misaligned(region, granularity: granularity) }
            guard let previous = merged.last, previous.end >= region.start.rawValue else {
                merged.append(region)
                continue
            }
            guard previous.end == region.start.rawValue else { throw .overlap(previous, region) }
            merged[merged.count - 1] = PageRange(
                uncheckedStart: previous.start.rawValue,
                count: previous.count + region.count
            )
        }
        self.regions = merged
        self.granularity = granularity
    }

    /// The number of pages of RAM.
    public var pageCount: UInt64 { regions.reduce(0) { $0 + $1.count } }

    /// From the first page of RAM to the last, holes included.
    public var bounds: PageRange {
        let low = regions.first?.start.rawValue ?? 0
        let high = regions.last?.end ?? 1
        return PageRange(uncheckedStart: low, count: high - low)
    }

    /// The region that holds `page`, or `nil` in a hole.
    ///
    /// - Complexity: O(log *n*) in the number of regions.
    public func region(containing page: PageNumber) -> PageRange? {
        let low = index(endingAfter: page)
        return low < regions.count && regions[low].contains(page) ? regions[low] : nil
    }

    /// The first page of `range` that is not RAM, or `nil` where all of it is.
    public func firstHole(in range: PageRange) -> PageNumber? {
        guard let region = region(containing: range.start) else { return range.start }
        return region.contains(range) ? nil : PageNumber(region.end)
    }

    /// The pieces of `range` that are RAM, from low to high.
    ///
    /// - Complexity: O(log *n* + *k*) for *k* pieces; nothing is allocated, however large the holes are.
    public func memory(in range: PageRange) -> Pieces { Pieces(self, range) }

    /// The index of the first region that ends after `page`.
    private func index(endingAfter page: PageNumber) -> Int {
        var low = 0
        var high = regions.count
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].end <= page.rawValue { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension GuestMemoryLayout {
    /// The pieces of a range that are RAM.
    public struct Pieces: Sequence, IteratorProtocol, Sendable {
        private let layout: GuestMemoryLayout
        private let range: PageRange
        private var index: Int

        fileprivate init(_ layout: GuestMemoryLayout, _ range: PageRange) {
            self.layout = layout
            self.range = range
            index = layout.index(endingAfter: range.start)
        }

        /// The next piece, or `nil` after the last.
        public mutating func next() -> PageRange? {
            guard index < layout.regions.count else { return nil }
            defer { index += 1 }
            return layout.regions[index].intersection(range)
        }
    }
}
