import Custody

/// The lines of a trace that are still to come, and the first at which a replay was not as they say.
///
/// What the replay does is held against the lines of one thread, the one that the line at hand is of: what threads did
/// at once is done one after the other.
final class ReplayScript: Sendable {
    private struct State {
        var isConsumed: [Bool]
        /// The first line that is still to come, and how many lines of each thread are not.
        var first = 0
        var met: [Int: Int] = [:]
        var thread = 0
        var difference: ReplayDifference?
        var decisions: UInt64 = 0
    }

    private let entries: [Trace.Entry]
    /// The indices of the lines of each thread.
    private let lines: [Int: [Int]]
    private let clock: ReplayClock
    private let state: Locked<State>

    init(_ entries: [Trace.Entry], _ clock: ReplayClock) {
        self.entries = entries
        lines = Dictionary(grouping: entries.indices) { entries[$0].record.thread }
        self.clock = clock
        state = Locked(State(isConsumed: Array(repeating: false, count: entries.count)))
    }

    var difference: ReplayDifference? { state.withLock { $0.difference } }
    var decisions: UInt64 { state.withLock { $0.decisions } }
    var consumed: Int { state.withLock { $0.first } }

    /// The first line that is still to come; what happens from now on is held against the lines of its thread.
    func begin() -> Trace.Entry? {
        state.withLock { state in
            guard state.difference == nil, state.first < entries.count else { return nil }
            state.thread = entries[state.first].record.thread
            return entries[state.first]
        }
    }

    /// The line that is to come next on the thread.
    var next: TraceRecord? { state.withLock { state in index(state).map { entries[$0].record } } }

    /// The lines that are to come next on the thread, at most so many.
    func next(_ count: Int) -> [TraceRecord] {
        state.withLock { state in rest(state).prefix(count).map { entries[$0].record } }
    }

    /// What became of the bytes of a change, where the lines that are to come next on the thread say so.
    func contents(of change: OwnershipChange) -> ContentsEffect? {
        state.withLock { state in
            for index in rest(state) {
                guard case .finished(let other, let contents) = entries[index].record.event else { return nil }
                if other == change { return contents }
            }
            return nil
        }
    }

    /// The indices of the lines that are still to come on the thread.
    private func rest(_ state: State) -> ArraySlice<Int> {
        lines[state.thread, default: []].dropFirst(state.met[state.thread] ?? 0)
    }

    private func index(_ state: State) -> Int? { rest(state).first }

    /// Whether a line has been met.
    func isMet(_ entry: Trace.Entry) -> Bool {
        state.withLock { state in
            state.first >= entries.count || entries[state.first].record.number != entry.record.number
        }
    }

    /// Holds what happened against the next line. Afterwards time is that of the line after it, where that is something
    /// that follows by itself.
    func meet(_ event: TraceEvent) {
        state.withLock { state in
            guard state.difference == nil else { return }
            guard let index = index(state) else {
                let last = entries.last
                state.difference = ReplayDifference(
                    file: last?.file ?? "",
                    line: last?.line ?? 1,
                    expected: "nothing more on thread \(state.thread)",
                    actual: "\(event)"
                )
                return
            }
            let entry = entries[index]
            guard entry.record.event.comparable == event.comparable else {
                note(entry, "\(event)", &state)
                return
            }
            if case .decided = event { state.decisions += 1 }
            consume(index, &state)
        }
    }

    /// Passes over a line that the replay has nothing to say of.
    func pass(_ entry: Trace.Entry) {
        state.withLock { state in
            guard state.first < entries.count else { return }
            consume(state.first, &state)
        }
    }

    private func consume(_ index: Int, _ state: inout State) {
        state.isConsumed[index] = true
        state.met[entries[index].record.thread, default: 0] += 1
        while state.first < entries.count, state.isConsumed[state.first] { state.first += 1 }
        guard let next = self.index(state), !entries[next].record.event.isAsked else { return }
        clock.advance(to: entries[next].record.time)
    }

    /// Notes that something else happened than a line says.
    func note(_ entry: Trace.Entry, _ actual: String) { state.withLock { note(entry, actual, &$0) } }

    private func note(_ entry: Trace.Entry, _ actual: String, _ state: inout State) {
        guard state.difference == nil else { return }
        state.difference = ReplayDifference(
            file: entry.file,
            line: entry.line,
            expected: "\(entry.record.event)",
            actual: actual
        )
    }
}
