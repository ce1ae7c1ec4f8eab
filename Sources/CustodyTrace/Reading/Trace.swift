import Custody

/// A trace as a whole: a header, and the lines up to the next one.
public struct Trace: Sendable {
    /// A line with its place.
    public struct Entry: Sendable {
        /// The line.
        public let record: TraceRecord
        /// The file that it stands in.
        public let file: String
        /// Its line in the file, from 1.
        public let line: Int

        /// A line that stands at a place.
        package init(record: TraceRecord, file: String, line: Int) {
            self.record = record
            self.file = file
            self.line = line
        }

        func error(_ message: String) -> TraceError { TraceError(message, file: file, line: line) }
    }

    /// The beginning.
    public let header: TraceHeader
    /// The file that the beginning stands in.
    public let file: String
    /// Its line in the file, from 1.
    public let line: Int
    /// The lines.
    public private(set) var entries: [Entry] = []

    /// The largest number of lines that are read as a whole.
    public static let maximumEntries = 4_000_000

    /// Reads all traces of a file: one for each time that a writer began.
    ///
    /// - Throws: ``TraceError`` for the first line that is none of a trace, or where there are too many.
    public static func read(_ path: String) throws(TraceError) -> (traces: [Trace], tornLine: TraceError?) {
        var reader = try TraceReader(path)
        var traces: [Trace] = []
        var count = 0
        while let line = try reader.next() {
            func error(_ message: String) -> TraceError { TraceError(message, file: reader.file, line: reader.line) }
            switch line {
            case .header(let header):
                if let gap = reader.gap { throw gap }
                if header.continues == nil {
                    traces.append(Trace(header: header, file: reader.file, line: reader.line))
                }
            case .record(let record):
                guard !traces.isEmpty else { throw error("a trace begins with a header") }
                count += 1
                guard count <= maximumEntries else { throw error("there are more than \(maximumEntries) lines") }
                let entry = Entry(record: record, file: reader.file, line: reader.line)
                traces[traces.count - 1].entries.append(entry)
            }
        }
        return (traces, reader.tornLine)
    }
}
