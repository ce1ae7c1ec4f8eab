import Custody

/// The holders of leases that are to be asked to let go, and what they are asked for.
///
/// Each lease has at most one call under way and one that waits: however often its pages are asked for meanwhile, there is
/// not more to be done.
struct DrainBoard: Sendable {
    typealias Callback = @Sendable (DrainRequest) -> Void

    private struct Entry: Sendable {
        let callback: Callback
        var current: DrainRequest?
        var waiting: DrainRequest?
    }

    private var entries: [LeaseID: Entry] = [:]

    var isEmpty: Bool { entries.isEmpty }
    /// The number of holders.
    var count: Int { entries.count }

    /// The number of requests whose call has not begun.
    var waiting: Int { entries.values.count { $0.waiting != nil } }

    /// A holder wants to be asked.
    mutating func add(_ lease: LeaseID, _ callback: @escaping Callback) { entries[lease] = Entry(callback: callback) }

    /// A lease is gone: nobody is asked for it any more.
    ///
    /// - Returns: its callback, to be dropped without a lock.
    mutating func remove(_ lease: LeaseID) -> Callback? { entries.removeValue(forKey: lease)?.callback }

    /// Notes what a holder is to be asked for.
    ///
    /// - Returns: whether a call is to be handed over; there may be one already that tells of it.
    mutating func ask(_ request: DrainRequest) -> Bool {
        guard let entry = entries[request.lease] else { return false }
        if let current = entry.current, current.covers(request) { return false }
        entries[request.lease]?.waiting = entry.waiting?.joined(with: request) ?? request
        return entry.current == nil && entry.waiting == nil
    }

    /// Begins the call of a lease; `nil` where there is nothing to ask for any more.
    mutating func begin(_ lease: LeaseID) -> (request: DrainRequest, callback: Callback)? {
        guard let entry = entries[lease], entry.current == nil, let request = entry.waiting else { return nil }
        entries[lease]?.current = request
        entries[lease]?.waiting = nil
        return (request, entry.callback)
    }

    /// Ends the call of a lease.
    ///
    /// - Returns: whether another one is to be handed over.
    mutating func end(_ lease: LeaseID) -> Bool {
        entries[lease]?.current = nil
        return entries[lease]?.waiting != nil
    }
}

extension DrainRequest {
    /// Whether whoever was asked for this need not be asked for the other one.
    fileprivate func covers(_ other: DrainRequest) -> Bool {
        target == other.target && ticket == other.ticket && range.contains(other.range)
    }

    /// Both in one: the pages from the first to the last, for the newer target.
    fileprivate func joined(with newer: DrainRequest) -> DrainRequest {
        let start = min(range.start, newer.range.start)
        let end = max(range.end, newer.range.end)
        return DrainRequest(
            lease: lease,
            range: PageRange(uncheckedStart: start.rawValue, count: end - start.rawValue),
            target: newer.target,
            ticket: newer.ticket ?? ticket
        )
    }
}
