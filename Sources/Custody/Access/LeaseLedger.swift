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

    /// How many leases each page has, so that a look-up depends on the fragmentation and not on the number of leases.
    private var counts: PageRunMap<UInt32>

    /// An empty ledger for the pages of `bounds`.
    public init(bounds: PageRange) { counts = PageRunMap(bounds: bounds, state: 0) }

    /// Enters a lease.
    ///
    /// - Complexity: O(log *n* + *k*) where the range meets *k* of *n* runs of equally leased pages.
    public mutating func enter(_ entry: Entry) -> LeaseID {
        let id = LeaseID(rawValue: nextID)
        nextID += 1
        entries[id] = entry
        count(entry.range) { $0 + 1 }
        return id
    }

    /// Takes a lease out, and returns it; `nil` where there is none of that number.
    ///
    /// - Complexity: as ``enter(_:)``.
    public mutating func remove(_ id: LeaseID) -> Entry? {
        guard let entry = entries.removeValue(forKey: id) else { return nil }
        count(entry.range) { $0 - 1 }
        return entry
    }

    /// Whether any page of `range` is leased.
    ///
    /// - Complexity: O(log *n*) where the range lies within one run.
    public func isLeased(_ range: PageRange) -> Bool { firstLeased(in: range) != nil }

    /// The first leased page of `range`, or `nil`.
    public func firstLeased(in range: PageRange) -> PageNumber? {
        for run in counts.runs(in: range) where run.state > 0 { return run.range.start }
        return nil
    }

    /// The leases that hold pages of `range`, cut to it, by first page and then by age.
    ///
    /// - Complexity: O(1) after the look-up where there is none, else O(*m* log *m*) in the number of all leases.
    public func blockers(of range: PageRange) -> [Blocker] {
        guard isLeased(range) else { return [] }
        return entries.compactMap { id, entry in entry.range.intersection(range).map { (id, entry, $0) } }
            .sorted { ($0.2.start, $0.0) < ($1.2.start, $1.0) }
            .map { _, entry, held in
                Blocker(holder: entry.holder, range: held, kind: entry.kind, since: entry.since)
            }
    }

    /// The leases that hold pages of `range`, each with those pages, by age.
    ///
    /// - Complexity: as ``blockers(of:)``.
    public func leases(meeting range: PageRange) -> [(lease: LeaseID, range: PageRange)] {
        guard isLeased(range) else { return [] }
        return entries.compactMap { id, entry in entry.range.intersection(range).map { (id, $0) } }
            .sorted { $0.0 < $1.0 }
    }

    private mutating func count(_ range: PageRange, _ change: (UInt32) -> UInt32) {
        // A lease of one run, the common case, is one update; the copy below shares storage and is read only.
        if let run = counts.run(containing: range.start), run.range.contains(range) {
            counts.set(range, to: change(run.state))
            return
        }
        for run in Array(counts.runs(in: range)) { counts.set(run.range, to: change(run.state)) }
    }
}
