import BasicContainers
import Custody
import CustodyPolicy

/// Goes through a script line by line: asks for what was asked for, and waits for the rest.
struct ReplayPlayer: ~Copyable {
    private let controller: MemoryController
    private let backend: ReplayBackend
    private let script: ReplayScript
    private let clock: ReplayClock
    /// The leases that are held, each with its number in the trace.
    private var leases = UniqueArray<HostLease>()
    private var numbers: [LeaseID] = []

    /// How much later than in the trace a timer may be due: between two lines the time is not known.
    private static let patience = Duration.seconds(1)

    init(_ controller: MemoryController, _ backend: ReplayBackend, _ script: ReplayScript, _ clock: ReplayClock) {
        self.controller = controller
        self.backend = backend
        self.script = script
        self.clock = clock
    }

    mutating func play() {
        while let entry = script.begin() {
            let record = entry.record
            // Everything else is asked for here; the controller itself asks when a time box is over.
            if record.event.isAsked, !isOfTimeBox(record.event) {
                clock.advance(to: record.time)
                ask(entry)
            } else {
                wait(for: entry)
            }
            if !script.isMet(entry) { script.note(entry, "nothing") }
        }
    }

    private func isOfTimeBox(_ event: TraceEvent) -> Bool {
        if case .requested(let request) = event { request.requester == .timeBox } else { false }
    }

    private mutating func ask(_ entry: Trace.Entry) {
        switch entry.record.event {
        case .malformed(let request, _): _ = controller.handle(request)
        case .requested(let request): _ = try? controller.convert(request.request)
        case .leased(let lease):
            // What is refused is in the events.
            guard let taken = try? controller.lease(lease.range, lease.kind, for: lease.holder) else { return }
            leases.append(taken)
            numbers.append(lease.id)
        case .leaseRefused(let kind, let range, let holder, _):
            _ = try? controller.lease(range, kind, for: holder)
        case .released(let lease):
            guard let index = numbers.firstIndex(of: lease.id) else { return }
            numbers.remove(at: index)
            leases.remove(at: index).release()
            // A release is told of by another thread than the one that releases.
            clock.runConcurrentWork()
        case .discarded(let range, _): try? controller.discard(range)
        case .marked(let name): controller.mark(name)
        default: break
        }
    }

    private func wait(for entry: Trace.Entry) {
        let record = entry.record
        switch record.event {
        case .dropped(let count):
            return script.note(entry, "\(count) events that are not in the trace cannot be done again")
        case .closed(let expected): return close(entry, expected)
        // Whoever was refused when it joined has left no trace but this.
        case .vetoed, .dismissed: return script.pass(entry)
        default: break
        }
        clock.advance(to: record.time)
        if backend.bringAbout(record.event) { return }
        if let found = reconnection(record.event) { return backend.reconnect(found, controller.snapshot()) }
        if case .settled(let ticket, .cancelled) = record.event {
            _ = controller.pendingTickets.first { $0.id == ticket.id }?.cancel()
            return
        }
        // A deadline comes before work that was late.
        let end = record.time.advanced(by: ReplayPlayer.patience)
        if case .settled(_, .expired) = record.event { _ = clock.runTimer(upTo: end) }
        while script.difference == nil, !script.isMet(entry) {
            guard clock.runWork() || clock.runTimer(upTo: end) else { return }
        }
    }

    /// What the back end is going to say that it found, where a line is part of that.
    private func reconnection(_ event: TraceEvent) -> Reconciliation? {
        switch event {
        case .reconnected(let found): return found
        case .settled(_, .completed(.unspecified)): break
        case .settled(_, .failed(let error)) where error.code == BackendError.Code.disconnected.rawValue: break
        default: return nil
        }
        for record in script.next(256) {
            switch record.event {
            case .settled: continue
            case .reconnected(let found): return found
            default: return nil
            }
        }
        return nil
    }

    private func close(_ entry: Trace.Entry, _ expected: [PageRun<Ownership>]) {
        let actual = controller.runs(in: controller.layout.bounds)
        guard actual != expected else { return script.pass(entry) }
        let text = actual.map { "\($0.range) \($0.state)" }.joined(separator: ", ")
        let wanted = expected.map { "\($0.range) \($0.state)" }.joined(separator: ", ")
        script.note(entry, "in the end the ownership is \(text), not \(wanted)")
    }
}
