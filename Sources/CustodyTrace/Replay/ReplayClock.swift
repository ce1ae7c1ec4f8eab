import Custody

/// The time of a replay: it stands still until a line of the trace moves it, and runs what it is told to, one piece at a
/// time.
final class ReplayClock: CompletionExecutor {
    private typealias Work = @Sendable () -> Void

    private struct State {
        var now = Timestamp.zero
        var work = FIFO<Work>()
        /// What waits for nothing of the trace.
        var concurrent = FIFO<Work>()
        var timers = TimerQueue<Work>()
    }

    private let state = Locked(State())

    var runsByItself: Bool { false }
    var now: Timestamp { state.withLock { $0.now } }

    func submit(_ work: @escaping @Sendable () -> Void) { state.withLock { $0.work.append(work) } }

    func submitConcurrently(_ work: @escaping @Sendable () -> Void) {
        state.withLock { $0.concurrent.append(work) }
    }

    @discardableResult
    func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        state.withLock { $0.timers.insert(deadline, work) }
    }

    @discardableResult
    func submitUrgently(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        submit(at: deadline, work)
    }

    func withdraw(_ timer: TimerID) {
        let dropped = state.withLock { $0.timers.remove(timer) }
        _ = dropped
    }

    func pass(_ duration: Duration) {
        advance(to: now.advanced(by: duration))
        drain()
    }

    func drain() {
        while runWork() || runTimer(upTo: now) {}
    }

    /// Moves time on, without running anything. Time never goes back.
    func advance(to time: Timestamp) { state.withLock { $0.now = max($0.now, time) } }

    /// Runs all concurrent work, and what that hands over in this way.
    func runConcurrentWork() {
        while let work = state.withLock({ $0.concurrent.popFirst() }) { work() }
    }

    /// Runs the oldest piece of work that has no time of its own, concurrent work first; `false` where there is none.
    func runWork() -> Bool {
        let work = state.withLock { $0.concurrent.popFirst() ?? $0.work.popFirst() }
        work?()
        return work != nil
    }

    /// Runs the next timer, at its own time; `false` where none is due by then.
    func runTimer(upTo end: Timestamp) -> Bool {
        let work: Work? = state.withLock { state in
            guard let timer = state.timers.popDue(by: end) else { return nil }
            state.now = max(state.now, timer.deadline)
            return timer.work
        }
        work?()
        return work != nil
    }
}
