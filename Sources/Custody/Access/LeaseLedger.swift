/// Who of the host holds which pages.
///
/// A value: whoever owns it keeps it beside the ownership map, under the same lock, so that "may the host have this
/// page" and "the host has it" are one step.
public struct LeaseLedger: Sendable {
    /// One lease, as it is entered.
    public struct Entry: Sendable, Hashable {
        /// The pages.
        public let range: PageRange
        /// The kind of reference.
        public let kind: LeaseKind
        /// Who holds it.
        public let holder: Holder
        /// Since when.
        public let since: Timestamp

        /// An entry for `range`, held since `since`.
        public init(range: PageRange, kind: LeaseKind, holder: Holder, since: Timestamp) {
            self.range = range
            self.kind = kind
            self.holder = holder
            self.since = since
        }
    }

    /// The entries. A ``LeaseID`` is handed out once.
    public private(set) var entries: [LeaseID: Entry] = [:]
    private var nextID: UInt64 = 1
    private var tree = PageRangeTree()

    /// An empty ledger.
    public init() {}

    /// Enters a lease.
    ///
    /// - Complexity: O(log *n*) in the number of leases.
    public mutating func enter(_ entry: Entry) -> LeaseID {
        let id = nextNumber()
        entries[id] = entry
        tree.insert(entry.range, id.rawValue)
        return id
    }

    /// A number for a lease that is kept elsewhere.
    public mutating func nextNumber() -> LeaseID {
        defer { nextID += 1 }
        return LeaseID(rawValue: nextID)
    }

    /// Takes a lease out, and returns it; `nil` where there is none of that number.
    ///
    /// - Complexity: as ``enter(_:)``.
    public mutating func remove(_ id: LeaseID) -> Entry? {
        guard let entry = entries.removeValue(forKey: id) else { return nil }
        tree.remove(entry.range, id.rawValue)
        return entry
    }

    /// Whether any page of `range` is leased.
    ///
    /// - Complexity: O(log *n*) in the number of leases.
    public func isLeased(_ range: PageRange) -> Bool { firstLeased(in: range) != nil }

    /// The first leased page of `range`, or `nil`.
    ///
    /// - Complexity: O(log *n*) in the number of leases.
    public func firstLeased(in range: PageRange) -> PageNumber? { tree.firstPage(in: range) }

    /// The leases that hold pages of `range`, cut to it, by first page and then by age.
    ///
    /// - Complexity: O(log *n* + *k* log *k*) for *k* of *n* leases.
    public func blockers(of range: PageRange) -> [Blocker] {
        found(range).sorted { ($0.range.start, $0.lease) < ($1.range.start, $1.lease) }.map { lease, held, entry in
            Blocker(holder: entry.holder, range: held, kind: entry.kind, since: entry.since)
        }
    }

    /// The leases that hold pages of `range`, each with those pages, by age.
    ///
    /// - Complexity: as ``blockers(of:)``.
    public func leases(meeting range: PageRange) -> [(lease: LeaseID, range: PageRange)] {
        found(range).sorted { $0.lease < $1.lease }.map { ($0.lease, $0.range) }
    }

    private func found(_ range: PageRange) -> [(lease: LeaseID, range: PageRange, entry: Entry)] {
        var found: [(lease: LeaseID, range: PageRange, entry: Entry)] = []
        tree.forEach(meeting: range) { number in
            let lease = LeaseID(rawValue: number)
            guard let entry = entries[lease], let held = entry.range.intersection(range) else { return }
            found.append((lease, held, entry))
        }
        return found
    }
}
