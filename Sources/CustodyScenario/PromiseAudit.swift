import Custody
import CustodyPolicy

/// Watches whether a play keeps what a controller promises, whatever its steps expect.
///
/// It derives from the answers alone who must own what, and holds that against what is:
///
/// * what failed, was blocked, put off, withdrawn or given up has changed nothing;
/// * what is so already is a no-op;
/// * a hand-over ends once, never while the host holds a page that it takes away, and is not lost;
/// * the host gets pages that it owns, and no others;
/// * nothing else changes an ownership, discarding contents least of all.
struct PromiseAudit {
    private struct Lease: Equatable {
        let kind: LeaseKind
        let range: PageRange
        let holder: Holder
    }

    private struct Pending {
        let ticket: Ticket
        /// The pages that the hand-over changes, as they were.
        var before: [PageRun<Ownership>]
    }

    private let layout: GuestMemoryLayout
    /// What is no RAM has a state of which nobody speaks.
    private var ownership: PageRunMap<Ownership>
    private var leases: [Lease] = []
    private var pending: [TicketID: Pending] = [:]
    private var ended: Set<TicketID> = []
    private var isNoOp = false

    /// An audit of the RAM of `layout` that begins with this ownership.
    init(_ ownership: PageRunMap<Ownership>, of layout: GuestMemoryLayout) {
        self.ownership = ownership
        self.layout = layout
    }

    /// The runs of RAM in `range`.
    private func runs(in range: PageRange) -> [PageRun<Ownership>] {
        layout.memory(in: range).flatMap { ownership.runs(in: $0) }
    }

    /// Takes what happened in a step, and what is after it.
    ///
    /// - Returns: the first promise that was not kept, or `nil`.
    mutating func check(_ events: [ControllerEvent], _ after: [PageRun<Ownership>]) -> String? {
        for event in events {
            if let broken = take(event.kind) { return broken }
        }
        for run in after {
            if let wrong = ownership.runs(in: run.range).first(where: { $0.state != run.state }) {
                return "\(wrong.range) is \(run.state), and by the answers must be \(wrong.state)"
            }
        }
        return nil
    }

    /// The hand-overs that nobody of the host holds up any more, and that have not ended all the same.
    var forgotten: [TicketID] {
        pending.filter { !$0.value.before.contains { isHeld($0.range) } }.keys.sorted()
    }

    private func isHeld(_ range: PageRange) -> Bool { leases.contains { $0.range.overlaps(range) } }

    private mutating func take(_ event: ControllerEvent.Kind) -> String? {
        switch event {
        case .requested(let request): isNoOp = runs(in: request.range).allSatisfy { $0.state == request.target }
        case .prepared(let change) where isNoOp: return "\(change) was carried out, and is so already"
        case .answered(let request, let outcome): return take(request, outcome)
        case .settled(let ticket, let result): return take(ticket, result)
        case .leased(_, let kind, let range, let holder):
            if let denied = runs(in: range).first(where: { !$0.state.allows(.host) }) {
                return "\(holder) got \(denied.range), which is \(denied.state)"
            }
            leases.append(Lease(kind: kind, range: range, holder: holder))
        case .released(_, let kind, let range, let holder):
            let lease = Lease(kind: kind, range: range, holder: holder)
            guard let index = leases.firstIndex(of: lease) else { return "\(holder) released what it did not hold" }
            leases.remove(at: index)
        case .reconnected(let found):
            for difference in found.ownership {
                if let after = difference.after { ownership.set(difference.range, to: after) }
                // What a guest kept is not put back with the rest of a hand-over that ends now.
                for id in Array(pending.keys) {
                    pending[id]?.before.removeAll { difference.range.contains($0.range) }
                }
            }
        case .malformed, .decided, .prepared, .committed, .finished, .failed, .postponed, .advanced, .leaseRefused,
            .vetoed,
            .dismissed, .discarded, .marked, .lost:
            break
        }
        return nil
    }

    private mutating func take(_ request: ConversionRequest, _ outcome: ConversionOutcome) -> String? {
        isNoOp = false
        if case .pending(let ticket, _) = outcome.status, pending[ticket.id] == nil {
            if ended.contains(ticket.id) { return "hand-over \(ticket.id) was answered as pending after its end" }
            let before = runs(in: ticket.range).filter { $0.state != ticket.target }
            pending[ticket.id] = Pending(ticket: ticket, before: before)
            for run in before { ownership.set(run.range, to: .inTransit) }
        }
        if let done = outcome.completedPrefix { ownership.set(done, to: request.target) }
        return nil
    }

    private mutating func take(_ ticket: Ticket, _ result: TicketResult) -> String? {
        guard let over = pending.removeValue(forKey: ticket.id) else {
            return "hand-over \(ticket.id) ended without having been registered, or twice"
        }
        ended.insert(ticket.id)
        guard case .completed = result else {
            for run in over.before { ownership.set(run.range, to: run.state) }
            return nil
        }
        for run in over.before {
            if run.state.allows(.host), !ticket.target.allows(.host), isHeld(run.range) {
                return "hand-over \(ticket.id) completed while the host held a page of \(run.range)"
            }
            ownership.set(run.range, to: ticket.target)
        }
        return nil
    }
}
