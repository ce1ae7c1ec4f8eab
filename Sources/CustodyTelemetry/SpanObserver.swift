import Custody
public import CustodyPolicy
public import Tracing

/// Makes a span of each conversion, from the request to its answer; where a hand-over is pending, to the end of that.
///
/// The span begins in the context of the thread that asks. It has the pages, the parties, the rule that decided and what
/// came of it as attributes, and what happened on the way as events.
public final class SpanObserver: ControllerObserver {
    private struct State: Sendable {
        var open = OpenRequests<any Span>()
        var pending: [TicketID: any Span] = [:]
    }

    private let tracer: any Tracer
    private let state = Locked(State())

    /// An observer that makes its spans with `tracer`.
    public init(_ tracer: any Tracer) { self.tracer = tracer }

    /// Begins, notes on or ends a span.
    public func observe(_ event: ControllerEvent) {
        switch event.kind {
        case .requested(let request):
            let span: any Span = tracer.startSpan("custody.conversion")
            span.attributes["custody.range"] = "\(request.range)"
            span.attributes["custody.target"] = "\(request.target)"
            span.attributes["custody.requester"] = "\(request.requester)"
            state.withLock { $0.open.begin(request, span) }
        case .decided(let request, let decision):
            guard let span = state.withLock({ $0.open[request] }) else { return }
            if let reason = decision.reason { span.attributes["custody.rule"] = reason.rule }
            span.addEvent(SpanEvent(name: "policy: \(decision)"))
        case .answered(let request, let outcome): answer(request, outcome)
        case .failed(let request, let error):
            guard let span = state.withLock({ $0.open.end(request) }) else { return }
            span.attributes["custody.outcome"] = error.code.rawValue
            span.recordError(error)
            span.setStatus(SpanStatus(code: .error, message: error.message))
            span.end()
        case .postponed(let ticket, _, _), .advanced(let ticket, _):
            state.withLock { $0.pending[ticket.id] }?.addEvent(SpanEvent(name: "\(event.kind)"))
        case .settled(let ticket, let result): settle(ticket, result)
        default: break
        }
    }

    private func answer(_ request: ConversionRequest, _ outcome: ConversionOutcome) {
        guard let span = state.withLock({ $0.open.end(request) }) else { return }
        guard case .pending(let ticket, let blockers) = outcome.status else {
            span.attributes["custody.pages"] = Int64(clamping: outcome.changedPages)
            span.attributes["custody.outcome"] = "\(outcome)"
            span.end()
            return
        }
        span.attributes["custody.ticket"] = "\(ticket.id)"
        span.addEvent(SpanEvent(name: "\(outcome)"))
        span.attributes["custody.holders"] = blockers.map { "\($0.holder)" }
        // Of several requests that wait for one hand-over, the first has it; the others end here.
        let isFirst = state.withLock { state in
            guard state.pending[ticket.id] == nil else { return false }
            state.pending[ticket.id] = span
            return true
        }
        if isFirst {
            // The answer may come after the end that it could not know of yet.
            ticket.whenEnded { [weak self] result in self?.settle(ticket, result) }
        } else {
            span.attributes["custody.outcome"] = "joined \(ticket.id)"
            span.end()
        }
    }

    private func settle(_ ticket: Ticket, _ result: TicketResult) {
        if let span = state.withLock({ $0.pending.removeValue(forKey: ticket.id) }) { end(span, result) }
    }

    private func end(_ span: any Span, _ result: TicketResult) {
        span.attributes["custody.outcome"] = "\(result)"
        switch result {
        case .failed(let error):
            span.recordError(error)
            span.setStatus(SpanStatus(code: .error, message: error.message))
        case .vetoed(let listener, let reason):
            span.setStatus(SpanStatus(code: .error, message: "vetoed by \(listener): \(reason)"))
        case .completed, .cancelled, .expired: break
        }
        span.end()
    }
}
