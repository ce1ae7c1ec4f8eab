import Custody
import CustodyProtocols

/// Which page of the one file backs which page of the guest: the regions follow each other without their holes.
struct FileLayout: Sendable {
    private let regions: [(range: PageRange, offset: UInt64)]
    private let count: UInt64

    init(_ layout: GuestMemoryLayout) {
        var regions: [(range: PageRange, offset: UInt64)] = []
        var next: UInt64 = 0
        for range in layout.regions {
            regions.append((range, next))
            next += range.count
        }
        self.regions = regions
        count = next
    }

    /// The page of the file that backs `page`, or `nil` in a hole.
    ///
    /// - Complexity: O(log *n*) in the number of regions.
    func offset(of page: PageNumber) -> PageOffset? {
        var low = 0
        var high = regions.count
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].range.end <= page.rawValue { low = middle + 1 } else { high = middle }
        }
        guard low < regions.count, regions[low].range.contains(page) else { return nil }
        return PageOffset(regions[low].offset + (page.rawValue - regions[low].range.start.rawValue))
    }

    /// The pages of the file that back `range`, which has no hole.
    func pages(of range: PageRange) -> PageOffsets {
        PageOffsets(first: offset(of: range.start)?.rawValue ?? 0, count: range.count)
    }

    /// What the file says of its pages when they begin in the given ownership.
    func mappability(_ ownership: PageRunMap<Ownership>) -> PageRunMap<Mappability> {
        let bounds = PageRange(uncheckedStart: 0, count: count)
        var map = PageRunMap(bounds: bounds, state: Mappability.all)
        for (range, offset) in regions {
            for run in ownership.runs(in: range) where run.state == .private || run.state == .inTransit {
                let first = run.range.start.rawValue - range.start.rawValue + offset
                map.set(PageRange(uncheckedStart: first, count: run.range.count), to: .guest)
            }
        }
        return map
    }
}
