package import Custody

extension PageRange {
    /// Pages by plain numbers, for tests that know that they make sense.
    package init(pages: Range<UInt64>) throws {
        try self.init(start: PageNumber(pages.lowerBound), count: pages.upperBound - pages.lowerBound)
    }
}

extension GuestMemoryLayout {
    /// One region of base pages.
    package init(pages: Range<UInt64>) throws { try self.init(regions: [PageRange(pages: pages)]) }
}
