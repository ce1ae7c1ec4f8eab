import Custody

/// What devices reach of the guest's memory: exactly what the host may touch, mapped and unmapped run by run.
///
/// A listener for an IOMMU: pages are unmapped before they become private, and mapped when they are shared again. A
/// mapping that fails is a veto, so that no page is shared that a device cannot reach. Where pages have to be mapped
/// once more because a change is taken back and that fails, they are reported as ``DMAMap/Statistics/lostPages``.
public final class DMAMap: OwnershipListener {
    /// How much there was to do.
    public struct Statistics: Sendable, Hashable {
        /// Calls that mapped a run.
        public internal(set) var mapCalls: UInt64 = 0
        /// Calls that unmapped a run.
        public internal(set) var unmapCalls: UInt64 = 0
        /// Base pages that devices reach.
        public internal(set) var mappedPages: UInt64 = 0
        /// Base pages that devices should reach and do not: mapping them again failed.
        public internal(set) var lostPages: UInt64 = 0
    }

    /// The name by which events and errors call it.
    public let name: String
    private let mapper: any DMAMapper
    private let counts = Locked(Statistics())

    /// A map that is carried out by `mapper`.
    public init(_ mapper: any DMAMapper, name: String = "iommu") {
        self.mapper = mapper
        self.name = name
    }

    /// How much there was to do so far.
    public var statistics: Statistics { counts.withLock { $0 } }

    /// Maps what the host gains, unmaps what it loses.
    public func prepare(_ change: HostAccessChange) throws(ListenerVeto) {
        if change.isGranted {
            do { try map(change.range) } catch { throw ListenerVeto("\(error)", isTransient: error.code.isTransient) }
        } else {
            unmap(change.range)
        }
    }

    /// Nothing is left to do.
    public func commit(_ change: HostAccessChange) {}

    /// Unmaps what was mapped, and maps what was unmapped.
    public func rollBack(_ change: HostAccessChange) {
        if change.isGranted { return unmap(change.range) }
        do { try map(change.range) } catch { counts.withLock { $0.lostPages += change.range.count } }
    }

    private func map(_ range: PageRange) throws(BackendError) {
        counts.withLock { $0.mapCalls += 1 }
        try mapper.map(range)
        counts.withLock { $0.mappedPages += range.count }
    }

    private func unmap(_ range: PageRange) {
        mapper.unmap(range)
        counts.withLock { counts in
            counts.unmapCalls += 1
            counts.mappedPages -= min(counts.mappedPages, range.count)
        }
    }
}
