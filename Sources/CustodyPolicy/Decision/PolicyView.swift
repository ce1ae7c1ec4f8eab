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
        isContinuation: Bool = false
    ) {
        map = ownership
        self.layout = layout
        self.capabilities = capabilities
        self.tally = tally
        self.ledger = ledger
        self.now = now
        self.pendingHandovers = pendingHandovers
        self.isContinuation = isContinuation
    }

    /// The ownership of a page, or `nil` where there is no RAM.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    public func ownership(of page: PageNumber) -> Ownership? {
        layout.region(containing: page) == nil ? nil : map[page]
    }

    /// The number of base pages of RAM in `range` that are in the given ownership.
    ///
    /// - Complexity: O(log *n* + *k*) for *k* runs.
    public func pageCount(of ownership: Ownership, in range: PageRange) -> UInt64 {
        var count: UInt64 = 0
        for piece in layout.memory(in: range) {
            for run in map.runs(in: piece) where run.state == ownership { count += run.range.count }
        }
        return count
    }

    /// The number of base pages of RAM in `range`.
    public func pageCount(in range: PageRange) -> UInt64 { layout.memory(in: range).reduce(0) { $0 + $1.count } }

    /// Who of the host holds pages of `range`.
    public func holders(of range: PageRange) -> [Blocker] { ledger.blockers(of: range) }
}
