package import Custody

/// What the lines of a trace come to, up to one of them or to a time.
package struct TraceAccount: ~Copyable {
    /// What they come to.
    package private(set) var model: Oracle
    /// The line that was taken last; `nil` at the beginning of a trace.
    package private(set) var last: Trace.Entry?

    /// The torn last line of a file, which was skipped.
    package var tornLine: TraceError? { reader.tornLine }
    /// How far the trace has been read: its last line, and the latest time of one.
    package var end: (line: Int, time: Timestamp) { (reader.line, latest) }

    private var reader: TraceReader
    private let line: Int
    private let limit: Timestamp?
    private var latest = Timestamp.zero
    private var order = TraceOrder()
    /// Lines from after the end: what they tell of took effect before it if a later step was told of by then.
    private var late: [Trace.Entry] = []
    private var isOver: Bool

    /// The account at the beginning of the trace at `path`: of several in the file, that which the end is in.
    ///
    /// - Parameters:
    ///   - time: What was told by then is in the account.
    ///   - line: What took effect up to the step that this line of the file tells of is in the account.
    /// - Throws: ``TraceError`` where the file is no trace.
    package init(_ path: String, until time: Duration? = nil, line: Int? = nil) throws(TraceError) {
        var reader = try TraceReader(path)
        guard case .header(let header)? = try reader.next() else { throw TraceError("no trace", file: path) }
        model = Oracle(header)
        limit = time.map { Timestamp.zero.advanced(by: $0) }
        self.line = line ?? .max
        isOver = self.line <= 1
        self.reader = reader
    }

    /// Reads on to the end.
    ///
    /// - Throws: ``TraceError`` for a line that is none of a trace, or cannot be.
    package mutating func read() throws(TraceError) {
        if let gap = reader.gap { throw gap }
        while !isOver {
            let next: TraceReader.Line?
            // What comes after the line is only looked at for what belongs before it.
            do throws(TraceError) { next = try reader.next() } catch {
                guard reader.line > line else { throw error }
                break
            }
            switch next {
            case nil: return try finish()
            case .header(let header)?: try begin(header)
            case .record(let record)?:
                latest = max(latest, record.time)
                let entry = Trace.Entry(record: record, file: reader.file, line: reader.line)
                if let due = try order.add(entry) { try take(due) }
            }
        }
        try finish()
    }

    private mutating func begin(_ header: TraceHeader) throws(TraceError) {
        if let gap = reader.gap { throw gap }
        guard header.continues == nil else { return }
        try finish()
        // A trace that went on after the end has it.
        isOver = isOver || !late.isEmpty
        guard !isOver else { return }
        (model, last, order, isOver) = (Oracle(header), nil, TraceOrder(), reader.line >= line)
    }

    private mutating func finish() throws(TraceError) {
        while !isOver, let due = order.next() { try take(due) }
    }

    private mutating func take(_ entry: Trace.Entry) throws(TraceError) {
        late.append(entry)
        if let limit, entry.record.time > limit { return isOver = late.count > TraceOrder.window }
        for entry in late where !isOver {
            do throws(OracleViolation) { try model.apply(entry.record) } catch { throw error.at(entry) }
            last = entry
            isOver = entry.line == line
        }
        late.removeAll(keepingCapacity: true)
    }
}
