import Custody

/// The time of a replay: it stands still until a line of the trace moves it, and runs what it is told to, one piece at a
/// time.
final class ReplayClock: CompletionExecutor {
    private struct Timer {
        let id: TimerID
        let deadline: Timestamp
        let work: @Sendable () -> Void
    }

    private struct State {
        var now = Timestamp.zero
        var work: [@Sendable () -> Void] = []
        /// Latest first.
        var timers: [Timer] = []
        var nextTimer: UInt64 = 1
    }

    private let state = Locked(State())

    var now: Timestamp { state.withLock { $0.now } }

    func submit(_ work: @escaping @Sendable () -> Void) { state.withLock { $0.work.append(work) } }

    @discardableResult
    func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        state.withLock { state in
            let id = TimerID(rawValue: state.nextTimer)
            state.nextTimer += 1
            let last = state.timers.lastIndex { $0.deadline > deadline }
            state.timers.insert(Timer(id: id, deadline: deadline, work: work), at: last.map { $0 + 1 } ?? 0)
            return id
        }
    }

    func withdraw(_ timer: TimerID) { state.withLock { $0.timers.removeAll { $0.id == timer } } }

    func pass(_ duration: Duration) {
        advance(to: now.advanced(by: duration))
        drain()
    }

    func drain() {
        while runWork() || runTimer(upTo: now) {}
    }

    /// Moves time on, without running anything. Time never goes back.
    func advance(to time: Timestamp) { state.withLock { $0.now = max($0.now, time) } }

    /// Runs the oldest piece of work that has no time of its own; `false` where there is none.
    func runWork() -> Bool {
        let work = state.withLock { $0.work.isEmpty ? nil : $0.work.removeFirst() }
        work?()
        return work != nil
    }

    /// Runs the next timer, at its own time; `false` where none is due by then.
    func runTimer(upTo end: Timestamp) -> Bool {
        let work: (@Sendable () -> Void)? = state.withLock { state in
            guard let timer = state.timers.last, timer.deadline <= end else { return nil }
            state.now = max(state.now, timer.deadline)
            return state.timers.removeLast().work
        }
        work?()
        return work != nil
    }
}
