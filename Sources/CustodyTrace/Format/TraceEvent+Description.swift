import Custody

extension TraceEvent: CustomStringConvertible {
    /// The event in one line, without its time.
    public var description: String {
        switch self {
        case .malformed(let request, let error):
            "malformed by guest/vcpu\(request.processor): \(request.byteCount) bytes at "
                + "\(GuestPhysicalAddress(request.address)) to \(request.target), \(error)"
        case .requested(let request): "requested by \(request)"
        case .decided(_, let decision): "policy: \(decision)"
        case .prepared(let change): "prepared: \(change)"
        case .committed(let change): "committed: \(change)"
        case .finished(let change, let contents): "finished: \(change), contents \(contents.rawValue)"
        case .answered(let request, let outcome): "answered \(request.requester): \(outcome)"
        case .failed(let request, let error): "failed \(request.requester): \(error)"
        case .postponed(let ticket, _, let until):
            "hand-over \(ticket.id) postponed until \(until.rawValue) ns: the back end sees references"
        case .advanced(let ticket, let blockers):
            "hand-over \(ticket.id) advanced, held by "
                + (blockers.isEmpty ? "nobody" : blockers.map { "\($0)" }.joined(separator: ", "))
        case .settled(let ticket, let result): "hand-over \(ticket.id) \(result)"
        case .leased(let lease): "leased: \(lease.kind.rawValue) of \(lease.range) to \(lease.holder)"
        case .leaseRefused(let kind, let range, let holder, let error):
            "lease refused: \(kind.rawValue) of \(range) to \(holder), \(error.message)"
        case .released(let lease): "released: \(lease.kind.rawValue) of \(lease.range) by \(lease.holder)"
        case .vetoed(let listener, let reason, _): "vetoed by \(listener): \(reason)"
        case .dismissed(let listener, let reason, _): "\(listener) is no listener any more: \(reason)"
        case .discarded(let range, let error):
            error.map { "not discarded: contents of \(range), \($0)" } ?? "discarded: contents of \(range)"
        case .marked(let name): "marked: \(name)"
        case .reconnected(let found): "back end reconnected: \(found)"
        case .lost(let error): "back end lost: \(error)"
        case .dropped(let count): "\(count) events are not in the trace"
        case .closed(let ownership): "closed, \(ownership.count) runs of ownership"
        }
    }

    /// The name of the event, as the lines of a trace have it.
    public var name: String {
        switch self {
        case .malformed: "malformed"
        case .requested: "requested"
        case .decided: "decided"
        case .prepared: "prepared"
        case .committed: "committed"
        case .finished: "finished"
        case .answered: "answered"
        case .failed: "failed"
        case .postponed: "postponed"
        case .advanced: "advanced"
        case .settled: "settled"
        case .leased: "leased"
        case .leaseRefused: "leaseRefused"
        case .released: "released"
        case .vetoed: "vetoed"
        case .dismissed: "dismissed"
        case .discarded: "discarded"
        case .marked: "marked"
        case .reconnected: "reconnected"
        case .lost: "lost"
        case .dropped: "dropped"
        case .closed: "closed"
        }
    }
}
