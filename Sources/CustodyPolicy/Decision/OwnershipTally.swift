public import Custody

/// How many base pages of RAM are in each ownership. Kept up to date with every change, so that a budget is one look.
public struct OwnershipTally: Sendable, Hashable, Codable {
    /// Shared between host and guest.
    public private(set) var shared: UInt64 = 0
    /// The guest's alone.
    public private(set) var `private`: UInt64 = 0
    /// In transit.
    public private(set) var inTransit: UInt64 = 0
    /// The host's alone.
    public private(set) var host: UInt64 = 0
    /// Shared, or on the way to or from it: what may be shared, however the hand-overs under way end.
    public private(set) var exposed: UInt64 = 0

    /// The tally of a map, as far as it is RAM; nothing is under way in it.
    ///
    /// - Complexity: O(*n*) in the number of runs.
    public init(_ map: PageRunMap<Ownership>, of layout: GuestMemoryLayout) {
        for region in layout.regions {
            for run in map.runs(in: region) { self[run.state] += run.range.count }
        }
        exposed = shared
    }

    /// The number of base pages in the given ownership.
    public private(set) subscript(ownership: Ownership) -> UInt64 {
        get {
            switch ownership {
            case .shared: shared
            case .private: `private`
            case .inTransit: inTransit
            case .host: host
            }
        }
        set {
            switch ownership {
            case .shared: shared = newValue
            case .private: `private` = newValue
            case .inTransit: inTransit = newValue
            case .host: host = newValue
            }
        }
    }

    /// A change begins.
    mutating func begin(_ change: OwnershipChange) {
        let count = change.range.count
        self[change.from] -= count
        inTransit += count
        if change.to == .shared { exposed += count }
    }

    /// A change is over: so many of its pages are in this ownership.
    mutating func end(_ change: OwnershipChange, _ count: UInt64, _ ownership: Ownership) {
        inTransit -= count
        self[ownership] += count
        if change.from == .shared || change.to == .shared { exposed -= count }
        if ownership == .shared { exposed += count }
    }
}
