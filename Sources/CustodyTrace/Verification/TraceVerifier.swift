import Custody

/// Holds a trace against a naive account of what it says, line by line.
///
/// On one thread the lines stand in the order in which things happened. Where several threads were at work, a line may
/// stand a little after what it tells of, which was between the line before it on its own thread and itself. A line that
/// cannot follow those before it is therefore accepted where it can follow the next lines of other threads, or pages were
/// as it says since the line before it.
public struct TraceVerifier: ~Copyable {
    /// What was found.
    public struct Report: Sendable, Equatable {
        /// The number of traces in the file: one for each time that a writer began.
        public internal(set) var traces = 0
        /// The number of lines that hold, headers not counted.
        public internal(set) var lines: UInt64 = 0
        /// The first line that cannot be, with its place.
        public internal(set) var error: TraceError?
        /// What is worth telling beside that: a torn last line that was skipped.
        public internal(set) var notes: [TraceError] = []

        /// Whether every line can follow those before it, and the trace is whole.
        public var isPossible: Bool { error == nil }
    }

    private struct Waiting {
        let record: TraceRecord
        let file: String
        let line: Int
        var isApplied = false
    }

    /// How many lines ahead the next line of another thread is looked for.
    private static let window = 4096

    private var reader: TraceReader
    private let acceptsOpenEnd: Bool
    private var model: TraceModel?
    private var header: TraceHeader?
    /// Lines that have been read, from ``head`` on those that have not been checked.
    private var waiting: [Waiting] = []
    private var head = 0
    private var times: [Int: UInt64] = [:]
    private var nextNumber: UInt64 = 1
    private var isClosed = false
    private var report = Report()

    /// A verifier of the trace at `path`. A trace that its writer has not closed is wrong unless `acceptsOpenEnd`.
    ///
    /// - Throws: ``TraceError`` where the file cannot be opened.
    public init(_ path: String, acceptsOpenEnd: Bool = false) throws(TraceError) {
        reader = try TraceReader(path)
        self.acceptsOpenEnd = acceptsOpenEnd
    }

    /// Reads the trace to its end, or to the first line that cannot be.
    public consuming func verify() -> Report {
        do throws(TraceError) {
            while let line = try reader.next() {
                switch line {
                case .header(let header): try begin(header)
                case .record(let record):
                    waiting.append(Waiting(record: record, file: reader.file, line: reader.line))
                    if waiting.count - head >= TraceVerifier.window { try checkFirst() }
                }
            }
            guard model != nil else { throw error("there is no trace in the file") }
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

    private mutating func begin(_ next: TraceHeader) throws(TraceError) {
        if let number = next.continues {
            guard let header else { throw error("the beginning of the trace is missing: it was cut by size") }
            guard number == nextNumber + UInt64(waiting.count - head), next.layout == header.layout else {
                throw error("the file does not go on where the one before it ends")
            }
            return
        }
        if model != nil { try finish() }
        header = next
        model = TraceModel(next)
        (times, nextNumber, isClosed) = ([:], 1, false)
        report.traces += 1
    }

    private mutating func finish() throws(TraceError) {
        while head < waiting.count { try checkFirst() }
        if !isClosed, !acceptsOpenEnd {
            throw error("the trace has no end: its writer did not close it, or it was cut")
        }
    }

    private mutating func checkFirst() throws(TraceError) {
        let first = waiting[head]
        head += 1
        if head >= TraceVerifier.window {
            waiting.removeFirst(head)
            head = 0
        }
        func error(_ message: String) -> TraceError { TraceError(message, file: first.file, line: first.line) }
        let record = first.record
        guard model != nil else { throw error("a trace begins with a header") }
        guard !isClosed else { throw error("the trace was closed before this") }
        guard record.number == nextNumber else {
            throw error("line \(nextNumber) of the trace is missing: this is number \(record.number)")
        }
        guard record.time.rawValue >= times[record.thread] ?? 0 else {
            throw error("time runs backwards on thread \(record.thread)")
        }
        if !first.isApplied {
            do { try apply(record) } catch {
                throw TraceError("\(record.event): \(error)", file: first.file, line: first.line)
            }
        }
        nextNumber += 1
        times[record.thread] = record.time.rawValue
        if case .closed = record.event { isClosed = true }
        report.lines += 1
    }

    /// Takes a line into the account, after those of other threads that must have come before it.
    private mutating func apply(_ record: TraceRecord) throws(TraceContradiction) {
        let contradiction: TraceContradiction
        do {
            try model?.apply(record)
            return
        } catch {
            contradiction = error
        }
        // As few lines as possible: those of one thread, or else of all.
        var threads: [Int] = []
        for entry in waiting[head...] where !entry.isApplied && !threads.contains(entry.record.thread) {
            if entry.record.thread != record.thread { threads.append(entry.record.thread) }
        }
        for ends in TraceVerifier.ends {
            guard var found = attempt(record, after: threads, ends: ends) else { continue }
            for thread in threads {
                let fewer = threads.filter { $0 != thread }
                guard let other = attempt(record, after: fewer, ends: ends) else { continue }
                (found, threads) = (other, fewer)
            }
            for index in found.applied { waiting[index].isApplied = true }
            model = found.model
            return
        }
        guard (try? model?.apply(record, isLate: true)) != nil else { throw contradiction }
    }

    /// How many of its answers, ends and releases another thread is followed to: one may have come to the next before what
    /// it did in between has been written down by the others.
    private static let ends = [1, 2, 4]

    /// The account with a line after the next ones of some threads, each as far as so many of its answers, and which those
    /// are; `nil` where the line cannot follow those either.
    private func attempt(
        _ record: TraceRecord,
        after threads: [Int],
        ends: Int
    ) -> (model: TraceModel, applied: [Int])? {
        guard var attempt = model else { return nil }
        var going = Set(threads)
        var left = Dictionary(uniqueKeysWithValues: threads.map { ($0, ends) })
        var applied: [Int] = []
        for index in waiting.indices[head...] where !waiting[index].isApplied {
            guard !going.isEmpty else { return nil }
            let other = waiting[index].record
            guard going.contains(other.thread) else { continue }
            guard (try? attempt.apply(other)) != nil else {
                going.remove(other.thread)
                continue
            }
            applied.append(index)
            switch other.event {
            case .answered, .failed, .settled, .released:
                left[other.thread, default: 1] -= 1
                if left[other.thread, default: 0] <= 0 { going.remove(other.thread) }
            default: break
            }
            if (try? attempt.apply(record)) != nil { return (attempt, applied) }
        }
        return nil
    }
}
