public import Custody

/// What a policy may see: the guest's memory at the moment of the decision, as a value.
public struct PolicyView: Sendable {
    /// What time it is.
    public let now: Timestamp
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// What the back end can do.
    public let capabilities: Capabilities
    /// Whether an earlier part of the request has been decided upon already, so that it counts only once.
    public let isContinuation: Bool
    /// All pages that were asked for, where the request that a policy is asked about is only the part of it that its
    /// limits let through this time.
    public internal(set) var asked: PageRange?
    /// The number of hand-overs that are pending.
    public let pendingHandovers: Int
    /// The number of base pages by ownership.
    public let tally: OwnershipTally

    private let map: PageRunMap<Ownership>
    private let ledger: LeaseLedger

    /// A view of the given state.
    public init(
        ownership: PageRunMap<Ownership>,
        layout: GuestMemoryLayout,
        capabilities: Capabilities,
        tally: OwnershipTally,
        ledger: LeaseLedger,
        now: Timestamp,
        pendingHandovers: Int = 0,
        isContinuation: Bool = false,
        asked: PageRange? = nil
    ) {
        map = ownership
        self.layout = layout
        self.capabilities = capabilities
        self.tally = tally
        self.ledger = ledger
        self.now = now
        self.pendingHandovers = pendingHandovers
        self.isContinuation = isContinuation
        self.asked = asked
    }

    /// The ownership of a page, or `nil` where there is no RAM.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    public func ownership(of page: PageNumber) -> Ownership? {
        layout.region(containing: page) == nil ? nil : map[page]
    }

    /// The number of base pages of RAM in `range` that are in the given ownership.
    ///
    /// - Complexity: O(*k* log *n*) for *k* regions of RAM in the range, however many runs there are.
    public func pageCount(of ownership: Ownership, in range: PageRange) -> UInt64 {
        layout.memory(in: range).reduce(0) { $0 + map.pageCount(in: $1) { $0 == ownership } }
    }

    /// The number of base pages of RAM in `range`.
    public func pageCount(in range: PageRange) -> UInt64 { layout.memory(in: range).reduce(0) { $0 + $1.count } }

    /// The longest leading part of `range`, in units of the granularity, in which at most `maximum` base pages of RAM
    /// count; `nil` where there is none. The ownership of a page says whether it counts.
    ///
    /// - Complexity: as ``pageCount(of:in:)``; nothing is allocated.
    public func prefix(
        of range: PageRange,
        atMost maximum: UInt64,
        counting counts: (Ownership) -> Bool
    ) -> PageRange? {
        var left = maximum
        for piece in layout.memory(in: range) {
            guard let page = map.firstPage(in: piece, after: &left, where: counts) else { continue }
            return range.prefix(before: PageNumber(page.rawValue - page.rawValue % layout.granularity.pages))
        }
        return range
    }

    /// The run of RAM in `ownership` that there would be if all of `range`, which is RAM, were: with its neighbours that
    /// are so already.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    public func run(of ownership: Ownership, around range: PageRange) -> PageRange {
        guard let region = layout.region(containing: range.start) else { return range }
        var start = range.start.rawValue
        var end = range.end
        if start > region.start.rawValue, let left = map.run(containing: PageNumber(start - 1)),
            left.state == ownership
        {
            start = max(left.range.start, region.start).rawValue
        }
        if end < region.end, let right = map.run(containing: PageNumber(end)), right.state == ownership {
            end = min(right.range.end, region.end)
        }
        return PageRange(uncheckedStart: start, count: end - start)
    }

    /// Who of the host holds pages of `range`.
    public func holders(of range: PageRange) -> [Blocker] { ledger.blockers(of: range) }
}
