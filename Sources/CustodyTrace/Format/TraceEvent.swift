public import Custody
public import CustodyPolicy

/// What a line of a trace says: an event of a controller as a value, or a note of the trace's writer.
public enum TraceEvent: Sendable, Hashable, Codable {
    /// A guest asked with numbers that are no range of pages.
    case malformed(request: GuestRequest, error: String)
    /// Somebody asked for a conversion.
    case requested(request: TraceRequest)
    /// The policy answered.
    case decided(request: TraceRequest, decision: TraceDecision)
    /// The back end has reserved for a change.
    case prepared(change: OwnershipChange)
    /// The back end has made a change.
    case committed(change: OwnershipChange)
    /// What a change made stale is gone; so much became of the bytes.
    case finished(change: OwnershipChange, contents: ContentsEffect)
    /// A request has its answer.
    case answered(request: TraceRequest, outcome: TraceOutcome)
    /// A request was not carried out.
    case failed(request: TraceRequest, error: TraceRefusal)
    /// A pending hand-over met references that only the back end sees; it is tried again then.
    case postponed(ticket: TraceTicket, blockers: [Blocker], until: Timestamp)
    /// Somebody whom a pending hand-over waited for has let go; the back end sees that these have not.
    case advanced(ticket: TraceTicket, blockers: [Blocker])
    /// A pending hand-over has ended.
    case settled(ticket: TraceTicket, result: TraceResult)
    /// The host has got a lease.
    case leased(lease: TraceLease)
    /// The host did not get a lease.
    case leaseRefused(kind: LeaseKind, range: PageRange, holder: Holder, error: TraceAccessRefusal)
    /// The host has given a lease up.
    case released(lease: TraceLease)
    /// A listener has refused a change.
    case vetoed(listener: String, reason: String, isTransient: Bool)
    /// A listener refused pages that it was offered after it had joined, and is a listener no more.
    case dismissed(listener: String, reason: String, isTransient: Bool)
    /// Contents have been discarded, or could not be.
    case discarded(range: PageRange, error: TraceFailure?)
    /// The host has set a mark for the policy.
    case marked(name: String)
    /// The back end has reached its guest again.
    case reconnected(found: Reconciliation)
    /// The back end is gone.
    case lost(error: TraceFailure)
    /// So many events are not in the trace: the writer could not keep up, or the file could not be written.
    case dropped(count: UInt64)
    /// The trace is at its end, and this was the ownership of all RAM then.
    case closed(ownership: [PageRun<Ownership>])

    /// The names of the events, as the lines of a trace have them.
    enum CodingKeys: String, CodingKey, CaseIterable {
        case malformed, requested, decided, prepared, committed, finished, answered, failed, postponed, advanced,
            settled
        case leased, leaseRefused, released, vetoed, dismissed, discarded, marked, reconnected, lost, dropped, closed
    }

    /// The event of a controller as a value.
    public init(_ kind: ControllerEvent.Kind) {
        self =
            switch kind {
            case .malformed(let request, let error): .malformed(request: request, error: "\(error)")
            case .requested(let request): .requested(request: TraceRequest(request))
            case .decided(let request, let decision):
                .decided(request: TraceRequest(request), decision: TraceDecision(decision))
            case .prepared(let change): .prepared(change: change)
            case .committed(let change): .committed(change: change)
            case .finished(let change, let contents): .finished(change: change, contents: contents)
            case .answered(let request, let outcome):
                .answered(request: TraceRequest(request), outcome: TraceOutcome(outcome))
            case .failed(let request, let error):
                .failed(request: TraceRequest(request), error: TraceRefusal(error))
            case .postponed(let ticket, let blockers, let until):
                .postponed(ticket: TraceTicket(ticket), blockers: blockers, until: until)
            case .advanced(let ticket, let blockers):
                .advanced(ticket: TraceTicket(ticket), blockers: blockers)
            case .settled(let ticket, let result):
                .settled(ticket: TraceTicket(ticket), result: TraceResult(result))
            case .leased(let id, let kind, let range, let holder):
                .leased(lease: TraceLease(id: id, kind: kind, range: range, holder: holder))
            case .leaseRefused(let kind, let range, let holder, let error):
                .leaseRefused(kind: kind, range: range, holder: holder, error: TraceAccessRefusal(error))
            case .released(let id, let kind, let range, let holder):
                .released(lease: TraceLease(id: id, kind: kind, range: range, holder: holder))
            case .vetoed(let listener, let veto):
                .vetoed(listener: listener, reason: veto.reason, isTransient: veto.isTransient)
            case .dismissed(_, let listener, let veto):
                .dismissed(listener: listener, reason: veto.reason, isTransient: veto.isTransient)
            case .discarded(let range, let error): .discarded(range: range, error: error.map { TraceFailure($0) })
            case .marked(let name): .marked(name: name)
            case .reconnected(let found): .reconnected(found: found)
            case .lost(let error): .lost(error: TraceFailure(error))
            }
    }
}
