public import Custody
import CustodyPolicy

extension TraceEvent {
    /// The pages that the event is about; none where it is about no pages in particular.
    public var ranges: [PageRange] {
        switch self {
        case .malformed, .vetoed, .dismissed, .marked, .lost, .dropped, .closed: []
        case .requested(let request), .decided(let request, _), .answered(let request, _), .failed(let request, _):
            [request.range]
        case .prepared(let change), .committed(let change), .finished(let change, _): [change.range]
        case .postponed(let ticket, _, _), .advanced(let ticket, _), .settled(let ticket, _): [ticket.range]
        case .leased(let lease), .released(let lease): [lease.range]
        case .reconnected(let found): found.ownership.map(\.range)
        case .leaseRefused(_, let range, _, _), .discarded(let range, _): [range]
        }
    }

    /// Who had to do with it, by the names that timelines use: the requester, holders, a listener.
    public var actors: [String] {
        switch self {
        case .malformed(let request, _): ["guest/vcpu\(request.processor)"]
        case .requested(let request), .decided(let request, _), .failed(let request, _): ["\(request.requester)"]
        case .answered(let request, let outcome):
            ["\(request.requester)"] + (outcome.blockers ?? []).flatMap { [$0.holder.device, "\($0.holder)"] }
        case .postponed(_, let blockers, _), .advanced(_, let blockers):
            blockers.flatMap { [$0.holder.device, "\($0.holder)"] }
        case .leased(let lease), .released(let lease): [lease.holder.device, "\(lease.holder)"]
        case .leaseRefused(_, _, let holder, _): [holder.device, "\(holder)"]
        case .vetoed(let listener, _, _), .dismissed(let listener, _, _): [listener]
        case .prepared, .committed, .finished, .settled, .discarded, .marked, .reconnected, .lost, .dropped, .closed: []
        }
    }

    /// Whether it is a note of the trace's writer, and nothing that the controller did.
    public var isNote: Bool {
        switch self {
        case .dropped, .closed: true
        default: false
        }
    }

    /// The names of all events.
    public static let names = CodingKeys.allCases.map(\.rawValue)
}
