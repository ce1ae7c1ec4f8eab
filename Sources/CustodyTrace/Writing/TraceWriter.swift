public import Custody
public import CustodyPolicy

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Writes what a controller does to a file, a line an event.
///
/// Events wait in a queue of bounded length for a thread of the writer's own, which turns them into JSON and appends them
/// in batches of whole lines. What a full queue, or a file that takes no more, keeps from being written is never lost in
/// silence: a line says how many events are missing at its place, and ``status`` has the total.
public final class TraceWriter: ControllerObserver {
    /// How far a writer has got.
    public struct Status: Sendable, Equatable {
        /// The number of lines in the file, headers not counted.
        public internal(set) var lines: UInt64 = 0
        /// The number of events that are not in the file, and never will be.
        public internal(set) var dropped: UInt64 = 0
        /// The first thing that went wrong with the file.
        public internal(set) var error: TraceError?
        /// The number of bytes of a torn line that were found in the file, and cut off.
        public internal(set) var repairedBytes = 0

        mutating func add(_ news: TracePen.News) {
            lines += news.lines
            dropped += news.dropped
            error = error ?? news.error
        }
    }

    private enum Entry {
        case event(ControllerEvent, thread: UInt)
        case note(TraceEvent, Timestamp)
    }

    private struct State {
        var queue: [Entry] = []
        /// Taken out of the queue, and not in the file yet.
        var isWriting = false
        /// Events for which there was no room since the last one for which there was.
        var missing: UInt64 = 0
        var isClosing = false
        var isClosed = false
        var status = Status()
        var lastTime = Timestamp.zero
    }

    /// What the writer and its thread share.
    private final class Queue: Sendable {
        let state = Monitor(State())
        /// The thread's, once it has taken it.
        let pen: Locked<TracePen?>

        init(_ pen: consuming TracePen) { self.pen = Locked(consume pen) }
    }

    private let queue: Queue
    private let options: TraceWriterOptions

    /// A writer of a new trace at the end of the file at `path`, which is created where it is not there. A torn line at
    /// its end is cut off.
    ///
    /// - Throws: ``TraceError`` where the file cannot be written, another writer has it, or it is no trace.
    public init(
        appendingTo path: String,
        header: TraceHeader,
        options: TraceWriterOptions = TraceWriterOptions()
    ) throws(TraceError) {
        self.options = options
        let pen = try TracePen(appendingTo: path, header, options)
        let repaired = pen.repairedBytes
        queue = Queue(pen)
        queue.state.update { $0.status.repairedBytes = repaired }
        let queue = self.queue
        do {
            try Thread.start { TraceWriter.work(queue) }
        } catch {
            throw TraceError("the writer has no thread: \(error)", file: path)
        }
    }

    deinit { finish() }

    /// Takes one event. It is in the file soon, unless the options say that it may be dropped.
    public func observe(_ event: ControllerEvent) {
        let entry = Entry.event(event, thread: UInt(pthread_self()))
        let capacity = options.capacity
        switch options.whenFull {
        case .drop: queue.state.update { TraceWriter.enter(entry, event.time, capacity, &$0) }
        case .wait:
            _ = queue.state.wait { state -> Void? in
                guard state.queue.count < capacity || state.isClosing else { return nil }
                TraceWriter.enter(entry, event.time, capacity, &state)
                return ()
            }
        }
    }

    private static func enter(_ entry: Entry, _ time: Timestamp, _ capacity: Int, _ state: inout State) {
        guard state.queue.count < capacity, !state.isClosing else {
            state.missing += 1
            state.status.dropped += 1
            return
        }
        note(time, &state)
        state.queue.append(entry)
    }

    /// Says in the trace that events are missing, before what comes next.
    private static func note(_ time: Timestamp, _ state: inout State) {
        state.lastTime = max(state.lastTime, time)
        guard state.missing > 0 else { return }
        state.queue.append(.note(.dropped(count: state.missing), state.lastTime))
        state.missing = 0
    }

    /// How far the writer has got.
    public var status: Status { queue.state.update { $0.status } }

    /// Waits until every event that has been observed is in the file, or never will be.
    ///
    /// - Throws: ``TraceError`` where something went wrong with the file, now or before.
    public func flush() throws(TraceError) {
        let error: TraceError? =
            queue.state.wait { state -> TraceError?? in
                state.isClosed || (state.queue.isEmpty && !state.isWriting) ? .some(state.status.error) : nil
            } ?? nil
        if let error { throw error }
    }

    /// Ends the trace, with the ownership of all RAM, and waits until it is in the file. Events after this are dropped.
    ///
    /// - Throws: ``TraceError`` where something went wrong with the file, now or before.
    public func close(ownership: [PageRun<Ownership>]) throws(TraceError) {
        queue.state.update { state in
            guard !state.isClosing else { return }
            TraceWriter.note(state.lastTime, &state)
            state.queue.append(.note(.closed(ownership: ownership), state.lastTime))
        }
        finish()
        if let error = status.error { throw error }
    }

    private func finish() {
        queue.state.update { state in
            if !state.isClosing { TraceWriter.note(state.lastTime, &state) }
            state.isClosing = true
        }
        _ = queue.state.wait { $0.isClosed ? true : nil }
    }

    // MARK: The writer's thread

    private static func work(_ queue: Queue) {
        guard var pen = queue.pen.withLock({ $0.take() }) else { return }
        var entries: [Entry] = []
        while true {
            // Nothing is left, and nothing will come.
            let isEnd = queue.state.wait { state -> Bool? in
                guard state.queue.isEmpty else {
                    swap(&state.queue, &entries)
                    state.isWriting = true
                    return false
                }
                return state.isClosing ? true : nil
            }
            if isEnd ?? true { break }
            for entry in entries {
                switch entry {
                case .event(let event, let thread):
                    pen.write(TraceEvent(event.kind), event.sequence, event.time, thread)
                case .note(let event, let time): pen.write(event, nil, time, nil)
                }
            }
            pen.flush()
            entries.removeAll(keepingCapacity: true)
            let news = pen.takeNews()
            queue.state.update { state in
                state.isWriting = false
                state.status.add(news)
            }
        }
        // The file is given up before anybody hears of it.
        let news = pen.close()
        queue.state.update { state in
            state.status.add(news)
            state.isClosed = true
        }
    }
}
