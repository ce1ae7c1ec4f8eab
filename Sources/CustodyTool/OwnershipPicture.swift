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

    init(_ model: TraceModel, title: String) {
        self.title = title
        layout = model.layout
        runs = model.runs
        handovers = model.tickets.map { "hand-over \($0)" }
        leases = model.leases.values.sorted { $0.id < $1.id }
            .map { "\($0.kind.rawValue) of \($0.range) by \($0.holder)" }
    }

    /// The ownerships that there are, with their bytes.
    var sums: [(ownership: Ownership, bytes: UInt64)] {
        var pages: [Ownership: UInt64] = [:]
        for run in runs { pages[run.state, default: 0] += run.range.count }
        return Ownership.allCases.compactMap { ownership in
            pages[ownership].map { (ownership, $0.multipliedReportingOverflow(by: PageSize.base.bytes).partialValue) }
        }
    }
}
