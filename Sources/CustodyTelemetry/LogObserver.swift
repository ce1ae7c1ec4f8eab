import Custody
public import CustodyPolicy
public import Logging

/// Writes what a controller does to a log, a line an event, with the pages, the parties and the reasons as metadata.
///
/// What is in order is at the levels `trace` and `debug`; what somebody is waited for, and how that ended, at `info`; what
/// was refused at `notice`; what a guest should not do, and what was given up, at `warning`; failures of the back end at
/// `error`, its loss at `critical`.
public final class LogObserver: ControllerObserver {
    private let logger: Logger

    /// An observer that writes to `logger`.
    public init(_ logger: Logger) { self.logger = logger }

    /// Writes the event.
    public func observe(_ event: ControllerEvent) {
        let level = LogObserver.level(event.kind)
        guard logger.logLevel <= level else { return }
        var metadata = LogObserver.metadata(event.kind)
        metadata["custody.time"] = "\(event.time.rawValue)"
        logger.log(level: level, "\(event.kind)", metadata: metadata)
    }

    private static func level(_ kind: ControllerEvent.Kind) -> Logger.Level {
        switch kind {
        case .requested, .prepared, .committed, .finished, .leased, .released: .trace
        case .decided(_, let decision): decision.verdict == .allow ? .trace : .debug
        case .answered(_, let outcome):
            switch outcome.status {
            case .completed: .debug
            case .blocked, .pending, .deferred, .stopped: .info
            }
        case .settled(_, let result):
            switch result {
            case .completed, .cancelled: .info
            case .expired, .vetoed: .warning
            case .failed: .error
            }
        case .failed(_, let error): error.code == .backend ? .error : .notice
        case .discarded(_, let error): error == nil ? .debug : .error
        case .leaseRefused, .vetoed: .notice
        case .postponed, .advanced, .marked, .reconnected: .info
        case .malformed, .dismissed: .warning
        case .lost: .critical
        }
    }

    private static func metadata(_ kind: ControllerEvent.Kind) -> Logger.Metadata {
        var metadata: Logger.Metadata = [:]
        func note(_ request: ConversionRequest) {
            metadata["custody.range"] = "\(request.range)"
            metadata["custody.target"] = "\(request.target)"
            metadata["custody.requester"] = "\(request.requester)"
        }
        switch kind {
        case .requested(let request): note(request)
        case .decided(let request, let decision):
            note(request)
            if let reason = decision.reason { metadata["custody.rule"] = "\(reason.rule)" }
        case .answered(let request, let outcome):
            note(request)
            if case .pending(let ticket, _) = outcome.status { metadata["custody.ticket"] = "\(ticket.id)" }
            switch outcome.status {
            case .blocked(let blockers), .pending(_, let blockers):
                metadata["custody.holders"] = .array(blockers.map { "\($0.holder)" })
            case .completed, .deferred, .stopped: break
            }
        case .failed(let request, let error):
            note(request)
            metadata["custody.code"] = "\(error.code.rawValue)"
        case .prepared(let change), .committed(let change), .finished(let change, _):
            metadata["custody.range"] = "\(change.range)"
            metadata["custody.target"] = "\(change.to)"
        case .postponed(let ticket, let blockers, _), .advanced(let ticket, let blockers):
            metadata["custody.ticket"] = "\(ticket.id)"
            metadata["custody.holders"] = .array(blockers.map { "\($0.holder)" })
        case .settled(let ticket, _):
            metadata["custody.ticket"] = "\(ticket.id)"
            metadata["custody.range"] = "\(ticket.range)"
            metadata["custody.target"] = "\(ticket.target)"
        case .leased(_, _, let range, let holder), .released(_, _, let range, let holder),
            .leaseRefused(_, let range, let holder, _):
            metadata["custody.range"] = "\(range)"
            metadata["custody.holders"] = .array(["\(holder)"])
        case .vetoed(let listener, _), .dismissed(_, let listener, _): metadata["custody.listener"] = "\(listener)"
        case .discarded(let range, _): metadata["custody.range"] = "\(range)"
        case .malformed(let request, _): metadata["custody.requester"] = "guest/vcpu\(request.processor)"
        case .marked, .reconnected, .lost: break
        }
        return metadata
    }
}
