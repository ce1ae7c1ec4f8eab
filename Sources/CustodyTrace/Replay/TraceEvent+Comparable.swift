import Custody

extension TraceEvent {
    /// Whether somebody asked the controller for this, rather than that it follows from what was asked.
    var isAsked: Bool {
        switch self {
        case .malformed, .requested, .leased, .leaseRefused, .released, .discarded, .marked: true
        default: false
        }
    }

    /// What must be the same in a replay: everything but the numbers of leases, and the times that lie between two lines
    /// of the trace.
    var comparable: TraceEvent {
        switch self {
        case .answered(let request, let outcome): .answered(request: request, outcome: outcome.comparable)
        case .postponed(let ticket, let blockers, _):
            .postponed(ticket: ticket.comparable, blockers: blockers.map(\.comparable), until: .zero)
        case .advanced(let ticket, let blockers):
            .advanced(ticket: ticket.comparable, blockers: blockers.map(\.comparable))
        case .settled(let ticket, let result): .settled(ticket: ticket.comparable, result: result)
        case .leased(let lease): .leased(lease: lease.comparable)
        case .released(let lease): .released(lease: lease.comparable)
        default: self
        }
    }
}

extension TraceLease {
    fileprivate var comparable: TraceLease {
        TraceLease(id: LeaseID(rawValue: 0), kind: kind, range: range, holder: holder)
    }
}

extension Blocker {
    fileprivate var comparable: Blocker { Blocker(holder: holder, range: range, kind: kind, since: .zero) }
}

extension TraceTicket {
    fileprivate var comparable: TraceTicket {
        var ticket = self
        (ticket.since, ticket.deadline) = (.zero, deadline.map { _ in .zero })
        return ticket
    }
}

extension TraceOutcome {
    fileprivate var comparable: TraceOutcome {
        var outcome = self
        (outcome.blockers, outcome.ticket) = (blockers?.map(\.comparable), ticket?.comparable)
        return outcome
    }
}
