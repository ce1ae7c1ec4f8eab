/// A thread that keeps times, and does nothing that could be late because of anybody.
package final class TimerThread: Sendable {
    private struct Task: Sendable {
        /// Whether it runs on this thread; otherwise it is handed over.
        let isUrgent: Bool
        let work: @Sendable () -> Void
    }

    private struct State {
        var timers = TimerQueue<Task>()
        var isRunning = false
        var isStopped = false
    }

    private let state = Monitor(State())
    private let now: @Sendable () -> Timestamp

    /// Starts the thread. What is not urgent is handed to `handOver` when it is due.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/resourcesExhausted`` where the system has no thread to give.
    package init(
        now: @escaping @Sendable () -> Timestamp,
        handOver: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
    ) throws(BackendError) {
        self.now = now
        let state = state
        try Thread.start {
            while let task = TimerThread.next(state, now) {
                if task.isUrgent { task.work() } else { handOver(task.work) }
                state.update { $0.isRunning = false }
            }
        }
    }

    /// The number of timers.
    package var count: Int { state.update { $0.timers.count } }

    /// Adds a timer.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    package func submit(
        at deadline: Timestamp,
        isUrgent: Bool,
        _ work: @escaping @Sendable () -> Void
    ) -> TimerID {
        state.update { $0.timers.insert(deadline, Task(isUrgent: isUrgent, work: work)) }
    }

    /// Takes a timer out.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    package func withdraw(_ timer: TimerID) {
        // Dropped without the lock: what it holds may be the last reference to somebody who withdraws a timer.
        let dropped = state.update { $0.timers.remove(timer) }
        _ = dropped
    }

    /// Whether nothing is due and nothing runs.
    package var isAtRest: Bool {
        let time = now()
        return state.update { TimerThread.isAtRest($0, time) }
    }

    /// Sleeps until nothing is due and nothing runs.
    package func waitUntilAtRest() { state.wait { [now] in TimerThread.isAtRest($0, now()) ? () : nil } }

    /// Ends the thread. What was not due is dropped, on the caller's stack.
    package func stop() {
        let dropped = state.update { state in
            state.isStopped = true
            defer { state.timers = TimerQueue() }
            return state.timers
        }
        _ = dropped
    }

    private static func isAtRest(_ state: State, _ now: Timestamp) -> Bool {
        !state.isRunning && !(state.timers.next.map { $0.deadline <= now } ?? false)
    }

    /// The next timer that is due, or `nil` when the thread is to end.
    private static func next(_ state: Monitor<State>, _ now: @Sendable () -> Timestamp) -> Task? {
        enum Step {
            case run(Task)
            case stop
            case lookAgain
        }
        while true {
            let awaited = state.update { $0.timers.next?.deadline }
            let step: Step? = state.wait(for: awaited.map { $0.since(now()) }) { state in
                if state.isStopped { return .stop }
                if let due = state.timers.popDue(by: now()) {
                    state.isRunning = true
                    return .run(due.work)
                }
                // Another timer may have become the next one: the sleep is for the one it was begun with.
                return state.timers.next?.deadline == awaited ? nil : .lookAgain
            }
            switch step {
            case .run(let task): return task
            case .stop: return nil
            case .lookAgain, nil: continue
            }
        }
    }
}
