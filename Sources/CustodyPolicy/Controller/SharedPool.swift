import Custody

/// A bound on the shared pages of several guests together: what a host can afford to have mapped and pinned.
///
/// Every controller that is made with the pool takes from it what it shares, and gives it back. It is charged in the
/// same step in which pages are claimed, so that it is never exceeded by requests; what a guest shares from the
/// beginning is charged without being asked.
public final class SharedPool: Sendable {
    /// The largest number of shared base pages.
    public let pages: UInt64
    private let used = Locked<UInt64>(0)

    /// A pool of so many base pages.
    public init(pages: UInt64) { self.pages = pages }

    /// The number of base pages in use; more than ``pages`` only where guests began with more.
    public var usedPages: UInt64 { used.withLock { $0 } }

    /// Takes so many pages, or none.
    func take(_ count: UInt64) -> Bool {
        used.withLock { used in
            guard count == 0 || (used <= pages && count <= pages - used) else { return false }
            used += count
            return true
        }
    }

    func charge(_ count: UInt64) {
        used.withLock { used in
            let (sum, overflow) = used.addingReportingOverflow(count)
            used = overflow ? .max : sum
        }
    }
    func giveBack(_ count: UInt64) { used.withLock { $0 -= min($0, count) } }
}
