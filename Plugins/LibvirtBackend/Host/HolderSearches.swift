#if Libvirt

/// What it has cost to find out who else has a guest's memory.
///
/// A complete search reads the mappings and descriptors of every process. After one that has found nobody, and as long as nobody
/// opens the file, the next one reads those of processes that have come since.
public struct HolderSearches: Sendable, Hashable, Codable {
    /// How many searches there were.
    public var count: UInt64
    /// How many of them were complete.
    public var complete: UInt64
    /// How many processes were read in them, each with its tasks, mappings and descriptors.
    public var processes: UInt64

    /// So many.
    public init(count: UInt64 = 0, complete: UInt64 = 0, processes: UInt64 = 0) {
        self.count = count
        self.complete = complete
        self.processes = processes
    }

    static func += (sum: inout HolderSearches, other: HolderSearches) {
        sum.count += other.count
        sum.complete += other.complete
        sum.processes += other.processes
    }
}

#endif
