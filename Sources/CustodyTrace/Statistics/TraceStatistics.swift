public import Custody
public import CustodyPolicy

/// What a trace comes to, in numbers.
public struct TraceStatistics: Sendable {
    /// How something ended, by direction.
    public struct Way: Sendable, Hashable {
        /// The ownership asked for.
        public let target: Ownership
        /// How it ended: the status of the answer, `failed`, or the end of a hand-over that was pending.
        public let outcome: String
        /// Whether a hand-over was pending in between.
        public let wasPending: Bool
    }

    /// A rule and what it said.
    public struct Hit: Sendable, Hashable {
        /// The rule's name; `nil` where none said anything.
        public let rule: String?
        /// What it said.
        public let verdict: TraceDecision.Verdict
    }

    /// The number of lines by event.
    public private(set) var events: [String: UInt64] = [:]
    /// The number of requests by requester.
    public private(set) var requests: [Requester: UInt64] = [:]
    /// The number of decisions by rule.
    public private(set) var hits: [Hit: UInt64] = [:]
    /// How long it took from a request to its answer, or to the end of the hand-over that it began.
    public private(set) var latencies: [Way: DurationSample] = [:]
    /// How long holders held up hand-overs.
    public private(set) var waits: [Holder: DurationSample] = [:]
    /// The number of base pages that changed hands, by their new ownership, at most the largest number there is.
    public private(set) var pages: [Ownership: UInt64] = [:]
    /// The number of events that are missing from the trace.
    public private(set) var dropped: UInt64 = 0
    /// The number of traces.
    public private(set) var traces = 0
    /// The sum of the traces' spans of time.
    public private(set) var span = Duration.zero

    private var open: [Int: [Timestamp]] = [:]
    private var pending: [TicketID: Timestamp] = [:]
    private var holders = HolderTimes()
    private var last: Timestamp?

    /// Nothing yet.
    public init() {}

    /// Counts a line.
    public mutating func add(_ line: TraceReader.Line) {
        switch line {
        case .header(let header):
            guard header.continues == nil else { return }
            traces += 1
            (open, pending, holders, last) = ([:], [:], HolderTimes(), nil)
        case .record(let record): add(record)
        }
    }

    private mutating func add(_ record: TraceRecord) {
        events[record.event.name, default: 0] += 1
        span += record.time.since(last ?? .zero)
        last = max(last ?? .zero, record.time)
        let time = record.time
        switch record.event {
        case .requested(let request):
            requests[request.requester, default: 0] += 1
            open[record.thread, default: []].append(time)
        case .decided(_, let decision):
            hits[Hit(rule: decision.reason?.rule, verdict: decision.verdict), default: 0] += 1
        case .finished(let change, _): TraceStatistics.add(change.range.count, to: &pages[change.to, default: 0])
        case .answered(let request, let outcome):
            let began = open[record.thread]?.popLast() ?? time
            guard let ticket = outcome.ticket else {
                return note(request.target, outcome.status.rawValue, time.since(began), wasPending: false)
            }
            if pending[ticket.id] == nil { pending[ticket.id] = began }
            holders.begin(ticket.id, waitingFor: outcome.blockers ?? [], since: ticket.since)
        case .failed(let request, _):
            let began = open[record.thread]?.popLast() ?? time
            note(request.target, "failed", time.since(began), wasPending: false)
        case .settled(let ticket, let result):
            let began = pending.removeValue(forKey: ticket.id) ?? ticket.since
            note(ticket.target, result.word, time.since(began), wasPending: true)
            add(holders.end(ticket.id, at: time))
        case .released(let lease): add(holders.release(lease.range, by: lease.holder, at: time))
        case .dropped(let count): TraceStatistics.add(count, to: &dropped)
        default: break
        }
    }

    /// Adds what a file says to a sum, which stays at the largest number there is.
    private static func add(_ count: UInt64, to sum: inout UInt64) {
        let (total, overflow) = sum.addingReportingOverflow(count)
        sum = overflow ? .max : total
    }

    private mutating func note(_ target: Ownership, _ outcome: String, _ took: Duration, wasPending: Bool) {
        latencies[Way(target: target, outcome: outcome, wasPending: wasPending), default: DurationSample()].add(took)
    }

    private mutating func add(_ ended: [HolderTimes.Wait]) {
        for wait in ended { waits[wait.holder, default: DurationSample()].add(wait.duration) }
    }
}
