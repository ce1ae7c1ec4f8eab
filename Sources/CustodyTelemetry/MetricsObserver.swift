import Custody
public import CoreMetrics
public import CustodyPolicy

/// Counts what a controller does, by the ecosystem's metrics API.
///
/// | label                       | kind    | dimensions            | what                                               |
/// |-----------------------------|---------|-----------------------|----------------------------------------------------|
/// | `custody.conversions`       | timer   | `to`, `outcome`, `by` | from a request to its answer, or to the end of the |
/// |                             |         |                       | hand-over that it began (`by`: `handover`, else `request`) |
/// | `custody.handovers.pending` | meter   |                       | hand-overs that are pending                        |
/// | `custody.handovers.held`    | timer   | `holder`              | for how long a device held a hand-over up          |
/// | `custody.handovers.retries` | counter |                       | times that a back end has to be asked again        |
/// | `custody.bytes`             | counter | `from`, `to`          | bytes that changed hands                           |
/// | `custody.decisions`         | counter | `rule`, `verdict`     | decisions of the policy; `rule` is `none` where no rule said anything |
/// | `custody.refusals`          | counter | `code`                | requests that were not carried out                 |
/// | `custody.malformed`         | counter |                       | requests of a guest that are no range of pages     |
/// | `custody.leases.refused`    | counter |                       | leases that the host did not get                   |
/// | `custody.losses`            | counter |                       | back ends that are gone                            |
///
/// Times are those of the back end. All labels come from the host: a guest cannot make new ones.
public final class MetricsObserver: ControllerObserver {
    private struct Key: Hashable {
        let label: String
        let values: [String]
    }

    private struct State: Sendable {
        var open = OpenRequests<Timestamp>()
        var pending: [TicketID: Timestamp] = [:]
        var holders = HolderTimes()
        var timers: [Key: Timer] = [:]
        var counters: [Key: Counter] = [:]
    }

    private let factory: any MetricsFactory
    private let dimensions: [(String, String)]
    private let pendingMeter: Meter
    private let state = Locked(State())

    /// An observer that makes its metrics with `factory`, each with these dimensions beside its own: the name of a
    /// guest, for example.
    public init(
        factory: any MetricsFactory = MetricsSystem.factory,
        dimensions: [(String, String)] = []
    ) {
        self.factory = factory
        self.dimensions = dimensions
        pendingMeter = Meter(label: "custody.handovers.pending", dimensions: dimensions, factory: factory)
    }

    /// Counts the event.
    public func observe(_ event: ControllerEvent) {
        let time = event.time
        var begun: Ticket?
        state.withLock { state in
            switch event.kind {
            case .requested(let request): state.open.begin(request, time)
            case .decided(_, let decision):
                count(
                    "decisions",
                    [("rule", decision.reason?.rule ?? "none"), ("verdict", MetricsObserver.word(decision.verdict))],
                    &state
                )
            case .finished(let change, _):
                let bytes = Int64(clamping: change.range.byteCount)
                count("bytes", [("from", "\(change.from)"), ("to", "\(change.to)")], by: bytes, &state)
            case .answered(let request, let outcome):
                let began = state.open.end(request) ?? time
                guard case .pending(let ticket, let blockers) = outcome.status else {
                    return measure(request.target, outcome.status, time.since(began), &state)
                }
                guard state.pending[ticket.id] == nil else { return }
                state.pending[ticket.id] = began
                state.holders.begin(ticket.id, waitingFor: blockers, since: ticket.since)
                begun = ticket
                pendingMeter.set(state.pending.count)
            case .failed(let request, let error):
                let began = state.open.end(request) ?? time
                record(
                    "conversions",
                    [("to", "\(request.target)"), ("outcome", "failed"), ("by", "request")],
                    time.since(began),
                    &state
                )
                count("refusals", [("code", error.code.rawValue)], &state)
            case .settled(let ticket, let result):
                let began = state.pending.removeValue(forKey: ticket.id)
                let outcome = MetricsObserver.word(result)
                record(
                    "conversions",
                    [("to", "\(ticket.target)"), ("outcome", outcome), ("by", "handover")],
                    time.since(began ?? ticket.since),
                    &state
                )
                record(state.holders.end(ticket.id, at: time), &state)
                pendingMeter.set(state.pending.count)
            case .released(_, _, let range, let holder):
                record(state.holders.release(range, by: holder, at: time), &state)
            case .postponed: count("handovers.retries", [], &state)
            case .malformed: count("malformed", [], &state)
            case .leaseRefused: count("leases.refused", [], &state)
            case .lost: count("losses", [], &state)
            case .prepared, .committed, .advanced, .leased, .vetoed, .dismissed, .discarded, .marked, .reconnected:
                break
            }
        }
        // An answer may come after the end that it could not know of yet: nothing is pending for ever.
        begun?.whenEnded { [weak self, id = begun?.id] _ in self?.forget(id) }
    }

    private func forget(_ ticket: TicketID?) {
        guard let ticket else { return }
        state.withLock { state in
            guard state.pending.removeValue(forKey: ticket) != nil else { return }
            _ = state.holders.end(ticket, at: .zero)
            pendingMeter.set(state.pending.count)
        }
    }

    private func measure(
        _ target: Ownership,
        _ status: ConversionOutcome.Status,
        _ took: Duration,
        _ state: inout State
    ) {
        let outcome =
            switch status {
            case .completed: "completed"
            case .blocked: "blocked"
            case .pending: "pending"
            case .deferred: "deferred"
            case .stopped: "stopped"
            }
        record("conversions", [("to", "\(target)"), ("outcome", outcome), ("by", "request")], took, &state)
    }

    private func record(_ waits: [HolderTimes.Wait], _ state: inout State) {
        for wait in waits { record("handovers.held", [("holder", wait.holder.device)], wait.duration, &state) }
    }

    private func record(_ name: String, _ own: [(String, String)], _ duration: Duration, _ state: inout State) {
        let key = Key(label: name, values: own.map(\.1))
        let timer =
            state.timers[key]
            ?? Timer(label: "custody.\(name)", dimensions: dimensions + own, factory: factory)
        state.timers[key] = timer
        timer.recordNanoseconds(Int64(clamping: Timestamp.zero.advanced(by: duration).rawValue))
    }

    private func count(_ name: String, _ own: [(String, String)], by amount: Int64 = 1, _ state: inout State) {
        let key = Key(label: name, values: own.map(\.1))
        let counter =
            state.counters[key]
            ?? Counter(label: "custody.\(name)", dimensions: dimensions + own, factory: factory)
        state.counters[key] = counter
        counter.increment(by: amount)
    }

    private static func word(_ verdict: PolicyDecision.Verdict) -> String {
        switch verdict {
        case .allow: "allow"
        case .clampTo: "clamp"
        case .deferUntil: "later"
        case .deny: "deny"
        }
    }

    private static func word(_ result: TicketResult) -> String {
        switch result {
        case .completed: "completed"
        case .cancelled: "cancelled"
        case .expired: "expired"
        case .failed: "failed"
        case .vetoed: "vetoed"
        }
    }
}
