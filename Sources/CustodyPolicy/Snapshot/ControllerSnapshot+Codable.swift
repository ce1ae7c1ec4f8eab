import Custody

extension ControllerSnapshot: Codable {
    private enum CodingKeys: String, CodingKey {
        case version, time, layout, ownership, tally, leases, changes, memory, timeBoxes, nextTicket, lost
    }

    /// Writes all parts under their names, with the version of the form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(ControllerSnapshot.version, forKey: .version)
        try container.encode(time, forKey: .time)
        try container.encode(layout, forKey: .layout)
        try container.encode(ownership, forKey: .ownership)
        try container.encode(tally, forKey: .tally)
        try container.encode(leases, forKey: .leases)
        try container.encode(changes, forKey: .changes)
        try container.encode(memory, forKey: .memory)
        try container.encode(timeBoxes, forKey: .timeBoxes)
        try container.encode(nextTicket, forKey: .nextTicket)
        try container.encodeIfPresent(lost, forKey: .lost)
    }

    /// Reads a snapshot.
    ///
    /// - Throws: `DecodingError` for another version, or where the parts do not agree with each other.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let version = try container.decode(Int.self, forKey: .version)
        guard version == ControllerSnapshot.version else {
            let text = "version \(version) of a snapshot is not version \(ControllerSnapshot.version)"
            throw DecodingError.dataCorruptedError(forKey: .version, in: container, debugDescription: text)
        }
        time = try container.decode(Timestamp.self, forKey: .time)
        layout = try container.decode(GuestMemoryLayout.self, forKey: .layout)
        ownership = try container.decode([Run].self, forKey: .ownership)
        tally = try container.decode(OwnershipTally.self, forKey: .tally)
        leases = try container.decode([Lease].self, forKey: .leases)
        changes = try container.decode([Change].self, forKey: .changes)
        memory = try container.decode(PolicyMemory.self, forKey: .memory)
        timeBoxes = try container.decode([TimeBox].self, forKey: .timeBoxes)
        nextTicket = try container.decode(UInt64.self, forKey: .nextTicket)
        lost = try container.decodeIfPresent(String.self, forKey: .lost)
        if let wrong = inconsistency {
            throw DecodingError.dataCorruptedError(forKey: .ownership, in: container, debugDescription: wrong)
        }
    }

    /// What does not agree in it, or `nil`: one that a controller took has no such thing.
    ///
    /// - Complexity: O((*n* + *m*) log *n*) for *n* runs and *m* parts of changes.
    public var inconsistency: String? {
        if let wrong = wrongNumber { return wrong }
        // The runs, one after the other, are the regions: nothing twice, nothing left out.
        var index = 0
        for region in layout.regions {
            var page = region.start.rawValue
            while page < region.end {
                guard index < ownership.count, ownership[index].range.start.rawValue == page,
                    ownership[index].range.end <= region.end
                else { return "the ownership of \(PageNumber(page)) is missing or out of order" }
                page = ownership[index].range.end
                index += 1
            }
        }
        guard index == ownership.count else { return "\(ownership[index].range) is not RAM" }
        let map = ownershipMap
        guard tally.counts(map, of: layout, exposedBy: changes) else { return "the tally is not that of the map" }
        var transits = PageRunMap(bounds: layout.bounds, state: false)
        for change in changes {
            guard !change.transits.isEmpty else { return "a change has no page" }
            for transit in change.transits {
                let move = TransitionTable.move(
                    from: transit.before,
                    to: change.target,
                    initiator: change.requester.party
                )
                guard move != .stay, move != .illegal, move != .askTicket, change.range.contains(transit.range),
                    transit.range.isAligned(to: layout.granularity)
                else { return "\(transit.range) cannot change from \(transit.before) to \(change.target)" }
                guard map.isUniform(transit.range, .inTransit), transits.isUniform(transit.range, false) else {
                    return "\(transit.range) changes hands, and is not in transit, or twice"
                }
                transits.set(transit.range, to: true)
            }
        }
        if let stray = ownership.first(where: { $0.ownership == .inTransit && !transits.isUniform($0.range, true) }) {
            return "\(stray.range) is in transit, and nothing changes it"
        }
        for lease in leases {
            if let hole = layout.firstHole(in: lease.range) { return "a lease of \(hole), which is not RAM" }
        }
        for box in timeBoxes where !box.ranges.allSatisfy({ map.isUniform($0, .shared) || isOnItsWay($0, map) }) {
            return "a time box has pages that are not shared"
        }
        return nil
    }

    /// The largest number that the next hand-over may have: as many again can still be counted.
    private static let maximumTicket: UInt64 = 1 << 62
    /// The largest number of attempts of a hand-over.
    private static let maximumAttempts = 1 << 31

    /// What is wrong with a number, or `nil`: each hand-over and each lease has one of its own, and what is counted on or
    /// added to later has room for that.
    private var wrongNumber: String? {
        let tickets = changes.compactMap(\.ticket?.rawValue)
        guard nextTicket > 0, nextTicket <= Self.maximumTicket, tickets.allSatisfy({ $0 > 0 && $0 < nextTicket }) else {
            return "a hand-over has a number that has not been given out"
        }
        guard Set(tickets).count == tickets.count else { return "two hand-overs have one number" }
        guard Set(leases.map(\.id)).count == leases.count else { return "two leases have one number" }
        guard changes.allSatisfy({ (0...Self.maximumAttempts).contains($0.attempts) }) else {
            return "a hand-over has been tried less than never, or too often"
        }
        // A time span of the controller is one between two points in time.
        let longest = Duration.nanoseconds(Int64.max)
        func isSpan(_ span: Duration?) -> Bool { span.map { $0 >= .zero && $0 <= longest } ?? true }
        let areSpans =
            timeBoxes.allSatisfy { isSpan($0.period) }
            && changes.allSatisfy { change in
                let terms = change.terms
                return [terms.deadline, terms.returnsAfter, terms.retry?.first, terms.retry?.longest].allSatisfy(isSpan)
            }
        return areSpans ? nil : "a time span is out of range"
    }

    /// Whether pages of a time box are shared or about to become private.
    private func isOnItsWay(_ range: PageRange, _ map: PageRunMap<Ownership>) -> Bool {
        layout.firstHole(in: range) == nil
            && map.runs(in: range).allSatisfy { $0.state == .shared || $0.state == .inTransit }
    }

    /// The ownership as a map; holes are shared in it.
    var ownershipMap: PageRunMap<Ownership> {
        var map = PageRunMap(bounds: layout.bounds, state: Ownership.shared)
        for run in ownership { map.set(run.range, to: run.ownership) }
        return map
    }
}

extension OwnershipTally {
    /// Whether it is the tally of a map with these changes under way.
    func counts(
        _ map: PageRunMap<Ownership>,
        of layout: GuestMemoryLayout,
        exposedBy changes: [ControllerSnapshot.Change]
    ) -> Bool {
        let actual = OwnershipTally(map, of: layout)
        var exposed = actual.shared
        for change in changes {
            for transit in change.transits where transit.before == .shared || change.target == .shared {
                let (sum, overflow) = exposed.addingReportingOverflow(transit.range.count)
                guard !overflow else { return false }
                exposed = sum
            }
        }
        return shared == actual.shared && self.private == actual.private && inTransit == actual.inTransit
            && host == actual.host && self.exposed == exposed
    }
}
