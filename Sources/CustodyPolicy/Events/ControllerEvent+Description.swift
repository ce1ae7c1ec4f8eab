import Custody

extension ControllerEvent.Kind: CustomStringConvertible {
    /// The event in one line, without its time: two back ends that do the same give the same lines.
    public var description: String {
        switch self {
        case .malformed(let request, let error):
            "malformed by guest/vcpu\(request.processor): \(request.byteCount) bytes at "
                + "\(GuestPhysicalAddress(request.address)) to \(request.target), \(error)"
        case .requested(let request):
            "requested by \(request.requester): \(request.range) to \(request.target)"
        case .decided(_, let decision): "policy: \(decision)"
        case .prepared(let change): "prepared: \(change)"
        case .committed(let change): "committed: \(change)"
        case .finished(let change, let contents): "finished: \(change), contents \(contents.rawValue)"
        case .answered(let request, let outcome): "answered \(request.requester): \(outcome)"
        case .failed(let request, let error): "failed \(request.requester): \(error.summary)"
        case .postponed(let ticket, _, _): "hand-over \(ticket.id) postponed: the back end sees references"
        case .advanced(let ticket, let blockers):
            "hand-over \(ticket.id) advanced, held by \(ConversionOutcome.list(blockers))"
        case .settled(let ticket, let result): "hand-over \(ticket.id) \(result)"
        case .leased(_, let kind, let range, let holder): "leased: \(kind.rawValue) of \(range) to \(holder)"
        case .leaseRefused(let kind, let range, let holder, let error):
            "lease refused: \(kind.rawValue) of \(range) to \(holder), \(error)"
        case .released(_, let kind, let range, let holder): "released: \(kind.rawValue) of \(range) by \(holder)"
        case .vetoed(let listener, let veto): "vetoed by \(listener): \(veto.reason)"
        case .dismissed(_, let listener, let veto): "\(listener) is no listener any more: \(veto.reason)"
        case .discarded(let range, let error):
            error.map { "not discarded: contents of \(range), \($0.summary)" } ?? "discarded: contents of \(range)"
        case .marked(let name): "marked: \(name)"
        case .reconnected(let found): "back end reconnected: \(found)"
        case .lost(let error): "back end lost: \(error.summary)"
        }
    }
}

extension ConversionOutcome: CustomStringConvertible {
    /// The outcome in one line.
    public var description: String {
        let stop = stoppedAt.map { ", from \($0.address) on" } ?? ""
        switch status {
        case .completed: return "completed, \(changedPages) pages changed"
        case .blocked(let blockers): return "blocked\(stop) by \(ConversionOutcome.list(blockers))"
        case .pending(let ticket, let blockers):
            return "pending as \(ticket.id)\(stop), held by \(ConversionOutcome.list(blockers))"
        case .deferred(_, let reason): return "deferred\(stop): \(reason)"
        case .stopped(let error): return "stopped\(stop): \(error.summary)"
        }
    }

    fileprivate static func list(_ blockers: [Blocker]) -> String {
        blockers.isEmpty ? "nobody" : blockers.map { "\($0)" }.joined(separator: ", ")
    }
}
