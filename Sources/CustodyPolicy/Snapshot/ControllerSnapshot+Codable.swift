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
        if let fault {
            let context = DecodingError.Context(
                codingPath: container.codingPath + fault.path.map(\.codingKey),
                debugDescription: fault.text
            )
            throw DecodingError.dataCorrupted(context)
        }
    }

    /// What does not agree in it, or `nil`: one that a controller took has no such thing.
    ///
    /// - Complexity: O((*n* + *m*) log *n*) for *n* runs and *m* parts of changes.
    public var inconsistency: String? { fault?.text }

    /// What does not agree, and the keys and indices that lead to it.
    private typealias Fault = (text: String, path: [any CodingKeyRepresentable])

    private var fault: Fault? {
        if let fault = numberFault ?? nameFault ?? timeFault ?? ownershipFault { return fault }
        let map = ownershipMap
        guard tally.counts(map, of: layout, exposedBy: changes) else {
            return ("the tally is not that of the map", ["tally"])
        }
        if let fault = changeFault(map) { return fault }
        for (index, lease) in leases.enumerated() {
            if let hole = layout.firstHole(in: lease.range) {
                return ("a lease of \(hole), which is not RAM", ["leases", index, "range"])
            }
        }
        return boxFault(map)
    }

    /// The runs, one after the other, are the regions: nothing twice, nothing left out.
    private var ownershipFault: Fault? {
        var index = 0
        for region in layout.regions {
            var page = region.start.rawValue
            while page < region.end {
                guard index < ownership.count, ownership[index].range.start.rawValue == page,
                    ownership[index].range.end <= region.end
                else {
                    let text = "the ownership of \(PageNumber(page)) is missing or out of order"
                    return (text, index < ownership.count ? ["ownership", index] : ["ownership"])
                }
                page = ownership[index].range.end
                index += 1
            }
        }
        guard index == ownership.count else { return ("\(ownership[index].range) is not RAM", ["ownership", index]) }
        return nil
    }

    private func changeFault(_ map: PageRunMap<Ownership>) -> Fault? {
        var transits = PageRunMap(bounds: layout.bounds, state: false)
        for (index, change) in changes.enumerated() {
            guard change.range.isAligned(to: layout.granularity) else {
                return ("\(change.range) is not in units of the granularity", ["changes", index, "range"])
            }
            guard !change.transits.isEmpty else { return ("a change has no page", ["changes", index, "transits"]) }
            for (part, transit) in change.transits.enumerated() {
                let path: [any CodingKeyRepresentable] = ["changes", index, "transits", part]
                let move = TransitionTable.move(
                    from: transit.before,
                    to: change.target,
                    initiator: change.requester.party
                )
                guard move != .stay, move != .illegal, move != .askTicket, change.range.contains(transit.range),
                    transit.range.isAligned(to: layout.granularity)
                else { return ("\(transit.range) cannot change from \(transit.before) to \(change.target)", path) }
                guard map.isUniform(transit.range, .inTransit), transits.isUniform(transit.range, false) else {
                    return ("\(transit.range) changes hands, and is not in transit, or twice", path)
                }
                transits.set(transit.range, to: true)
            }
        }
        if let stray = ownership.firstIndex(where: {
            $0.ownership == .inTransit && !transits.isUniform($0.range, true)
        }) {
            return ("\(ownership[stray].range) is in transit, and nothing changes it", ["ownership", stray])
        }
        return nil
    }

    private func boxFault(_ map: PageRunMap<Ownership>) -> Fault? {
        var boxed = PageRunMap(bounds: layout.bounds, state: false)
        for (index, box) in timeBoxes.enumerated() {
            for (part, range) in box.ranges.enumerated() {
                let path: [any CodingKeyRepresentable] = ["timeBoxes", index, "ranges", part]
                guard map.isUniform(range, .shared) || isOnItsWay(range, map) else {
                    return ("a time box has pages that are not shared", path)
                }
                guard boxed.isUniform(range, false) else { return ("\(range) is in two time boxes", path) }
                boxed.set(range, to: true)
            }
        }
        return nil
    }

    /// The largest number that the next hand-over may have: as many again can still be counted.
    private static let maximumTicket: UInt64 = 1 << 62
    /// The largest number of attempts of a hand-over.
    private static let maximumAttempts = 1 << 31

    /// Each hand-over and each lease has a number of its own, and what is counted on or added to later has room for that.
    private var numberFault: Fault? {
        guard nextTicket > 0, nextTicket <= Self.maximumTicket else {
            let text = "the next hand-over has the number \(nextTicket), which is not from 1 to \(Self.maximumTicket)"
            return (text, ["nextTicket"])
        }
        var tickets: Set<UInt64> = []
        for (index, change) in changes.enumerated() {
            if let ticket = change.ticket?.rawValue {
                guard ticket > 0 && ticket < nextTicket else {
                    return ("a hand-over has a number that has not been given out", ["changes", index, "ticket"])
                }
                guard tickets.insert(ticket).inserted else {
                    return ("two hand-overs have one number", ["changes", index, "ticket"])
                }
            }
            guard (0...Self.maximumAttempts).contains(change.attempts) else {
                return ("a hand-over has been tried less than never, or too often", ["changes", index, "attempts"])
            }
        }
        var numbers: Set<LeaseID> = []
        if let index = leases.firstIndex(where: { !numbers.insert($0.id).inserted }) {
            return ("two leases have one number", ["leases", index, "id"])
        }
        return nil
    }

    /// Whoever is asked to let go, or is answered, can be named.
    private var nameFault: Fault? {
        for (index, change) in changes.enumerated() {
            let path: [any CodingKeyRepresentable] = ["changes", index, "requester"]
            switch change.requester {
            case .guest(let processor) where processor < 0:
                return ("a processor has the number \(processor)", path + ["guest"])
            case .host(""): return ("a requester has no name", path + ["host"])
            case .device(""): return ("a requester has no name", path + ["device"])
            case .guest, .host, .device: break
            }
        }
        if let index = leases.firstIndex(where: \.holder.device.isEmpty) {
            return ("a holder has no name", ["leases", index, "holder", "device"])
        }
        return memory[""].map { _ in ("a mark has no name", ["memory", "marks", ""]) }
    }

    /// What has begun has begun by the time of the snapshot, and a time span is one between two points in time.
    private var timeFault: Fault? {
        func isLater(_ since: Timestamp?) -> Bool { since.map { $0 > time } ?? false }
        let later = "this is later than the time of the snapshot, \(time.rawValue) ns"
        if let index = leases.firstIndex(where: { isLater($0.since) }) { return (later, ["leases", index, "since"]) }
        let longest = Duration.nanoseconds(Int64.max)
        func isSpan(_ span: Duration?) -> Bool { span.map { $0 >= .zero && $0 <= longest } ?? true }
        for (index, change) in changes.enumerated() {
            let path: [any CodingKeyRepresentable] = ["changes", index]
            if isLater(change.since) { return (later, path + ["since"]) }
            let terms = change.terms
            let spans: [(Duration?, [any CodingKeyRepresentable])] = [
                (terms.deadline, ["deadline"]), (terms.returnsAfter, ["returnsAfter"]),
                (terms.retry?.first, ["retry", "first"]), (terms.retry?.longest, ["retry", "longest"]),
            ]
            if let wrong = spans.first(where: { !isSpan($0.0) }) {
                return ("a time span is out of range", path + ["terms"] + wrong.1)
            }
        }
        if let index = timeBoxes.firstIndex(where: { !isSpan($0.period) }) {
            return ("a time span is out of range", ["timeBoxes", index, "period"])
        }
        return nil
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
