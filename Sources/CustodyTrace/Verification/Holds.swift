import Custody

/// Who holds pages that a request is to take, as the leases have it, found by what an answer says of each.
struct Holds {
    /// What one reference is known by.
    fileprivate struct Key: Hashable {
        let holder: Holder
        let kind: LeaseKind
        let start: PageNumber
    }

    /// How far the references of one key go, and when the last of them was told of.
    private var ends: [Key: (end: UInt64, time: Timestamp)] = [:]

    /// The references that are held by leases, each with the pages in question and when it was told of.
    init(of leases: [(lease: TraceLease, pages: PageRange, time: Timestamp)]) {
        for (lease, pages, time) in leases {
            let key = Key(holder: lease.holder, kind: lease.kind, start: pages.start)
            let known = ends[key] ?? (pages.end, time)
            ends[key] = (max(known.end, pages.end), max(known.time, time))
        }
    }

    /// Whether one is as a blocker says: it has been held since then, and it goes as far.
    func contains(_ blocker: Blocker) -> Bool {
        guard let held = ends[Key(blocker)] else { return false }
        return blocker.range.end <= held.end && blocker.since <= held.time
    }

    /// A holder that is not among those who are named.
    func first(notIn blockers: [Blocker]) -> Holder? {
        let named = Set(blockers.map { Key($0) })
        return ends.keys.filter { !named.contains($0) }.min { $0.start < $1.start }?.holder
    }
}

extension Holds.Key {
    fileprivate init(_ blocker: Blocker) {
        self.init(holder: blocker.holder, kind: blocker.kind, start: blocker.range.start)
    }
}
