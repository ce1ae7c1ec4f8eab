import Custody
#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Turns events into lines, numbers them, and appends them to the file in batches.
struct TracePen: ~Copyable, Sendable {
    /// What has happened since it was last asked.
    struct News: Sendable {
        var lines: UInt64 = 0
        var dropped: UInt64 = 0
        var error: TraceError?
    }

    /// The number of bytes of a torn line that were found in the file.
    let repairedBytes: Int

    private var file: TraceFile
    private let path: String
    private let options: TraceWriterOptions
    private var header: TraceHeader
    private var batch: [UInt8] = []
    /// The number of events that the batch is about.
    private var events: UInt64 = 0
    /// Those of them that have not been counted as dropped before.
    private var fresh: UInt64 = 0
    private var lines: UInt64 = 0
    /// The number of the first line of the batch.
    private var first: UInt64 = 1
    /// Events that could not be written since something last could.
    private var missing: UInt64 = 0
    private var lastTime = Timestamp.zero
    private var threads: [UInt: Int] = [:]
    private var news = News()

    /// The size from which on a batch is written, in bytes.
    private static let batchSize = 1 << 20
    /// The largest number of threads that are told apart.
    private static let maximumThreads = 1 << 16

    init(
        appendingTo path: String,
        _ given: TraceHeader,
        _ options: TraceWriterOptions
    ) throws(TraceError) {
        var file = try TraceFile(appendingTo: path)
        var header = given
        let repaired = file.repairedBytes
        if repaired > 0 { header.repairedBytes = repaired }
        try file.append(TracePen.line(header, path))
        header.repairedBytes = nil
        self.file = file
        self.header = header
        self.path = path
        self.options = options
        repairedBytes = repaired
    }

    mutating func write(_ event: TraceEvent, _ sequence: UInt64?, _ time: Timestamp, _ thread: UInt?) {
        lastTime = max(lastTime, time)
        noteMissing()
        add(event, sequence, time, thread.map { number(of: $0) } ?? 0)
        if batch.count >= TracePen.batchSize { flush() }
    }

    /// Says in the trace that events are missing, before what comes next.
    private mutating func noteMissing() {
        guard missing > 0, batch.isEmpty else { return }
        let note = TraceEvent.dropped(count: missing)
        missing = 0
        add(note, nil, lastTime, 0)
    }

    private mutating func add(_ event: TraceEvent, _ sequence: UInt64?, _ time: Timestamp, _ thread: Int) {
        if case .dropped(let count) = event {
            events += count
        } else {
            events += 1
            fresh += 1
        }
        do {
            batch += try TracePen.line(
                TraceRecord(number: first + lines, sequence: sequence, time: time, thread: thread, event),
                path
            )
            lines += 1
        } catch {
            fail(error)
        }
    }

    private mutating func number(of thread: UInt) -> Int {
        if let number = threads[thread] { return number }
        guard threads.count < TracePen.maximumThreads else { return 0 }
        threads[thread] = threads.count + 1
        return threads.count
    }

    /// Appends what there is of a batch.
    mutating func flush() {
        guard !batch.isEmpty else { return }
        do {
            try file.append(batch)
            if options.durability == .everyBatch { try file.synchronize() }
            first += lines
            news.lines += lines
            (batch, lines, events, fresh) = ([], 0, 0, 0)
            try cut()
        } catch {
            fail(error)
        }
    }

    /// Forgets the batch, and remembers that it is missing.
    private mutating func fail(_ error: TraceError) {
        missing += events
        news.dropped += fresh
        news.error = news.error ?? error
        (batch, lines, events, fresh) = ([], 0, 0, 0)
    }

    /// Goes on in a new file where this one is large enough.
    private mutating func cut() throws(TraceError) {
        guard let rotation = options.rotation, file.size >= rotation.bytes else { return }
        if options.durability != .kernel { try file.synchronize() }
        try file.rotate(keeping: rotation.keeping)
        var next = try TraceFile(appendingTo: path)
        var continued = header
        continued.continues = first
        try next.append(TracePen.line(continued, path))
        file = next
    }

    /// Writes what there is, and gives the file up.
    consuming func close() -> News {
        flush()
        noteMissing()
        flush()
        if options.durability != .kernel {
            do { try file.synchronize() } catch { news.error = news.error ?? error }
        }
        return news
    }

    mutating func takeNews() -> News {
        defer { news = News() }
        return news
    }

    private static func line(_ value: some Encodable, _ path: String) throws(TraceError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return try Array(encoder.encode(value)) + [UInt8(ascii: "\n")]
        } catch {
            throw TraceError("a line cannot be written as JSON: \(error)", file: path)
        }
    }
}
