import Custody

/// Holds a trace against a naive account of what it says, line by line, in the order in which the steps of the
/// controller took effect.
public struct TraceVerifier: ~Copyable {
    /// What was found.
    public struct Report: Sendable, Equatable {
        /// The number of traces in the file: one for each time that a writer began.
        public internal(set) var traces = 0
        /// The number of lines that hold, headers not counted.
        public internal(set) var lines: UInt64 = 0
        /// The first line that cannot be, with its place. A line that is missing comes before any that does not fit:
        /// without it the others cannot be held against each other.
        public internal(set) var error: TraceError?
        /// Whether the file is one of traces: `false` where the error is that a line is none of a trace, that a file is missing,
        /// or that a header does not agree with itself.
        public internal(set) var isTrace = true
        /// The rule that the line breaks, where it is one of the oracle's.
        public internal(set) var rule: OracleRule?
        /// What is worth telling beside that: a torn last line that was skipped, and the line from which on a trace that
        /// was cut cannot be judged.
        public internal(set) var notes: [TraceError] = []

        /// Whether every line can follow those before it, and the trace is whole.
        public var isPossible: Bool { error == nil }
    }

    private var reader: TraceReader
    private let acceptsOpenEnd: Bool
    private let contradiction: (TraceHeader) -> String?
    private var model: Oracle?
    private var order = TraceOrder()
    /// The time of the last line of each thread, and the latest of all.
    private var times: [Int: Timestamp] = [:]
    private var latest = Timestamp.zero
    /// The number of requests of each thread that have no answer up to here.
    private var unanswered: [Int: Int] = [:]
    private var nextNumber: UInt64 = 1
    private var isClosed = false
    /// The last step, and the thread that took it.
    private var lastStep: (sequence: UInt64?, thread: Int) = (nil, 0)
    private var report = Report()

    /// A verifier of the trace at `path`. A trace that its writer has not closed is wrong unless `acceptsOpenEnd`.
    ///
    /// - Parameters:
    ///   - path: The file's path.
    ///   - acceptsOpenEnd: Whether the file may be one that is still written to.
    ///   - contradiction: What is wrong with a header's configuration, or otherwise than in the header, for whoever reads
    ///     configurations; `nil` for nothing.
    /// - Throws: ``TraceError`` where the file cannot be opened.
    public init(
        _ path: String,
        acceptsOpenEnd: Bool = false,
        contradiction: @escaping (TraceHeader) -> String? = { _ in nil }
    ) throws(TraceError) {
        reader = try TraceReader(path)
        self.acceptsOpenEnd = acceptsOpenEnd
        self.contradiction = contradiction
    }

    /// Reads the trace to its end, or to the first line that cannot be.
    public consuming func verify() -> Report {
        do throws(TraceError) {
            while let line = try next() {
                switch line {
                case .header(let header): try begin(header)
                case .record(let record): try take(Trace.Entry(record: record, file: reader.file, line: reader.line))
                }
            }
            try finish()
        } catch {
            report.error = error
        }
        if let torn = reader.tornLine { report.notes.append(torn) }
        return report
    }

    private func error(_ message: String) -> TraceError {
        TraceError(message, file: reader.file, line: max(1, reader.line))
    }

    private mutating func next() throws(TraceError) -> TraceReader.Line? {
        do throws(TraceError) { return try reader.next() } catch { throw none(error) }
    }

    /// The error by which the file is none of traces.
    private mutating func none(_ error: TraceError) -> TraceError {
        report.isTrace = false
        return error
    }

    private mutating func begin(_ next: TraceHeader) throws(TraceError) {
        if let gap = reader.gap { throw none(gap) }
        guard next.continues == nil else { return }
        if model != nil { try finish() }
        model = Oracle(next)
        order = TraceOrder()
        (times, latest, unanswered, nextNumber, isClosed, lastStep) = ([:], .zero, [:], 1, false, (nil, 0))
        report.traces += 1
        if let wrong = contradiction(next) { throw none(error(wrong)) }
    }

    /// Takes a line as it stands in the file: none is missing, and none is from before another of its thread.
    private mutating func take(_ entry: Trace.Entry) throws(TraceError) {
        let record = entry.record
        guard model != nil else { throw none(entry.error("a trace begins with a header")) }
        guard !isClosed else { throw entry.error("the trace was closed before this") }
        guard record.number == nextNumber else {
            throw entry.error("line \(nextNumber) of the trace is missing: this is number \(record.number)")
        }
        guard record.time >= times[record.thread] ?? .zero else {
            throw entry.error("time runs backwards on thread \(record.thread)")
        }
        // The writer's own lines have the latest time that it knows.
        guard !record.event.isNote || record.time >= latest else { throw entry.error("time runs backwards") }
        nextNumber += 1
        times[record.thread] = record.time
        latest = max(latest, record.time)
        switch record.event {
        case .requested: unanswered[record.thread, default: 0] += 1
        case .answered, .failed: unanswered[record.thread, default: 0] -= 1
        case .closed: isClosed = true
        case .dropped: return try check(entry)
        default: break
        }
        if let due = try order.add(entry) { try check(due) }
    }

    /// Holds a line against the account.
    private mutating func check(_ entry: Trace.Entry) throws(TraceError) {
        do throws(OracleViolation) { try judge(entry.record) } catch { throw broken(error, at: entry) }
    }

    private mutating func broken(_ violation: OracleViolation, at entry: Trace.Entry) -> TraceError {
        report.rule = violation.rule
        return violation.at(entry)
    }

    private mutating func judge(_ record: TraceRecord) throws(OracleViolation) {
        if let sequence = record.sequence {
            guard sequence != lastStep.sequence || record.thread == lastStep.thread else {
                throw OracleViolation(.isRecorded, "step \(sequence) was taken by thread \(lastStep.thread)")
            }
            lastStep = (sequence, record.thread)
        }
        try model?.apply(record)
        report.lines += 1
    }

    private mutating func finish() throws(TraceError) {
        // What several threads had done, and not all of them said, when a trace was cut.
        let isCut = !isClosed && order.isOfSeveralThreads
        while let due = order.next() {
            do throws(OracleViolation) {
                try judge(due.record)
            } catch {
                let mayBeMissing = isCut || (!isClosed && unanswered[due.record.thread] ?? 0 > 0)
                guard mayBeMissing, error.isOfState else { throw broken(error, at: due) }
                report.notes.append(due.error("what is missing may be the reason: \(error.at(due).message)"))
                order = TraceOrder()
            }
        }
        guard !isClosed else { return }
        guard acceptsOpenEnd else {
            throw error("the trace has no end: its writer did not close it, or it was cut")
        }
        guard !isCut else { return }
        do throws(OracleViolation) { if let model { try model.checkRefusals(in: model.layout.bounds) } } catch {
            report.rule = error.rule
            throw self.error("\(error)")
        }
    }
}
