import Custody

/// The changes under way, found by number, by pages and by what the back end calls them.
struct ClaimTable: Sendable {
    private var places: [Claim?] = []
    private var free: [Int] = []
    private var nextAge: UInt64 = 1
    /// The pages of each claim, by its place.
    private var tree = PageRangeTree()
    private var awaited: [BackendHandover: ClaimID] = [:]
    private(set) var count = 0

    /// How many claims there have been at a time, at most.
    var placeCount: Int { places.count }

    var isEmpty: Bool { count == 0 }

    /// A number for a claim that is going to be added.
    mutating func reserve() -> ClaimID {
        defer { nextAge += 1 }
        if let place = free.popLast() { return ClaimID(age: nextAge, place: place) }
        places.append(nil)
        return ClaimID(age: nextAge, place: places.count - 1)
    }

    /// Adds a claim whose number has been reserved.
    ///
    /// - Complexity: O(log *n*) in the number of runs of all claims for each of its own.
    mutating func add(_ claim: Claim) {
        let place = claim.work.id.place
        claim.changes.forEach { tree.insert($0.range, UInt64(place)) }
        places[place] = claim
        count += 1
    }

    /// Takes a claim out.
    ///
    /// - Complexity: as ``add(_:)``.
    mutating func remove(_ id: ClaimID) -> Claim? {
        guard let claim = self[id] else { return nil }
        if case .awaiting(let reference) = claim.phase { awaited[reference] = nil }
        claim.changes.forEach { tree.remove($0.range, UInt64(id.place)) }
        places[id.place] = nil
        free.append(id.place)
        count -= 1
        return claim
    }

    /// The claim of a number; `nil` where it is over, and then it cannot be changed. Its pages stay what they are.
    subscript(id: ClaimID) -> Claim? {
        get {
            guard let claim = places[id.place], claim.work.id == id else { return nil }
            return claim
        }
        set {
            guard let before = self[id], let newValue else { return }
            if case .awaiting(let reference) = before.phase { awaited[reference] = nil }
            if case .awaiting(let reference) = newValue.phase { awaited[reference] = id }
            places[id.place] = newValue
        }
    }

    /// The claim whose change the back end completes by itself, by its number there.
    func awaiting(_ reference: BackendHandover) -> ClaimID? { awaited[reference] }

    /// The first page of a range that is in a claim.
    ///
    /// - Complexity: O(log *n*) in the number of runs of all claims, expected.
    func firstPage(in range: PageRange) -> PageNumber? { tree.firstPage(in: range) }

    /// The claims of pages of a range, the oldest first.
    ///
    /// - Complexity: O(log *n* + *k* log *k*) for *k* of *n* runs of all claims; where there is none, nothing is
    ///   allocated.
    func meeting(_ range: PageRange) -> [Claim] {
        var found: [Claim] = []
        tree.forEach(meeting: range) { place in if let claim = places[Int(place)] { found.append(claim) } }
        // Once, however many of its runs meet the range.
        return ClaimTable.byAge(found)
    }

    /// Claims once each, the oldest first.
    static func byAge(_ claims: [Claim]) -> [Claim] {
        guard claims.count > 1 else { return claims }
        let sorted = claims.sorted { $0.work.id < $1.work.id }
        return zip([nil] + sorted.map(\.work.id), sorted).filter { $0.0 != $0.1.work.id }.map(\.1)
    }

    /// All claims, the oldest first.
    ///
    /// - Complexity: O(*n* log *n*).
    var all: [Claim] { places.compactMap { $0 }.sorted { $0.work.id < $1.work.id } }
}
