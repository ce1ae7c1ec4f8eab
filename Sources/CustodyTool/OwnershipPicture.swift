import Custody
import CustodyPolicy
import CustodyTrace

/// Who owns what at one moment, and who holds what, however it is going to be drawn.
struct OwnershipPicture {
    let title: String
    let layout: GuestMemoryLayout
    let runs: [PageRun<Ownership>]
    let handovers: [String]
    let leases: [String]

    init(_ snapshot: ControllerSnapshot) {
        title = "at \(snapshot.time.since(.zero).text)"
        layout = snapshot.layout
        runs = snapshot.ownership.map { PageRun(range: $0.range, state: $0.ownership) }
        handovers = snapshot.handovers.map { change in
            let name = change.ticket.map { "\($0)" } ?? ""
            return "hand-over \(name) of \(change.range) to \(change.target) by \(change.requester)"
        }
        leases = snapshot.leases.map { "\($0.kind.rawValue) of \($0.range) by \($0.holder)" }
    }

    init(_ model: Oracle, title: String) {
        self.title = title
        layout = model.layout
        runs = model.runs
        handovers = model.handovers.map { "hand-over \($0.ticket) by \($0.requester)" }
        leases = model.leases.values.sorted { $0.id < $1.id }
            .map { "\($0.kind.rawValue) of \($0.range) by \($0.holder)" }
    }

    /// The ownerships that there are, with how much memory is in each.
    var sums: [(ownership: Ownership, size: String)] {
        var pages: [Ownership: UInt64] = [:]
        // The runs do not overlap, so that all of them are at most the address space.
        for run in runs { pages[run.state, default: 0] += run.range.count }
        return Ownership.allCases.compactMap { ownership in
            pages[ownership].map { (ownership, ByteCount.text(ofPages: $0)) }
        }
    }

    /// Each region with the runs in it, from low to high.
    ///
    /// - Complexity: O(*n*) in the number of regions and runs.
    var regions: [(range: PageRange, runs: ArraySlice<PageRun<Ownership>>)] {
        var rest = runs[...]
        return layout.regions.map { region in
            let count = rest.prefix { $0.range.start.rawValue < region.end }.count
            defer { rest = rest.dropFirst(count) }
            return (region, rest.prefix(count))
        }
    }
}
