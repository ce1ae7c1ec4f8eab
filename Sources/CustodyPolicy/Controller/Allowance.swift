import Custody

/// What is left of the limits that a request has on its runs and pages.
struct Allowance {
    private var runs: Int
    private var pages: UInt64

    /// No limits.
    static let unlimited = Allowance(runs: .max, pages: .max)

    private init(runs: Int, pages: UInt64) {
        self.runs = runs
        self.pages = pages
    }

    /// The limits of a request, in whole units of ownership and at least one; `nil` where it has none.
    init?(_ extent: ConversionRequest.Extent, in unit: PageSize) {
        guard case .prefix(let maximumRuns, let maximumPages) = extent else { return nil }
        runs = maximumRuns
        pages = max(unit.pages, maximumPages / unit.pages * unit.pages)
    }

    /// Passes over a run in which nothing changes; `nil` where the limits are reached.
    mutating func pass(_ run: PageRange) -> PageRange? {
        guard runs > 0, pages > 0 else { return nil }
        runs -= 1
        return run
    }

    /// Takes as much of a run as the pages allow, or all of it; `nil` where the limits are reached.
    mutating func take(_ run: PageRange, isWhole: Bool) -> PageRange? {
        guard runs > 0, pages > 0 else { return nil }
        runs -= 1
        let part = isWhole ? run : run.leading(atMost: pages)
        pages -= min(part.count, pages)
        return part
    }
}
