/// Threads that take work from one queue. With a limit of one, work runs in its order.
///
/// The first thread is there from the beginning to the end; others are started when work waits and no thread is idle, and
/// end when they have had nothing to do for a while.
package final class WorkerPool: Sendable {
    private struct State {
        var queue = FIFO<@Sendable () -> Void>()
        var threads = 1
        var idle = 0
        var running = 0
        var isStopped = false

        var isAtRest: Bool { queue.isEmpty && running == 0 }
    }

    /// The largest number of threads.
    package let limit: Int
    private let state = Monitor(State())

    /// The time without work after which a thread ends, but for the first one.
    private static let patience = Duration.seconds(5)

    /// A pool of up to `limit` threads.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/resourcesExhausted`` where the system has no thread to give.
    package init(limit: Int) throws(BackendError) {
        self.limit = max(1, limit)
        try WorkerPool.start(state, patience: nil)
    }

    /// The number of pieces of work that wait for a thread.
    package var waiting: Int { state.update { $0.queue.count } }

    /// The number of threads.
    package var threads: Int { state.update { $0.threads } }

    /// Hands work to a thread. Never runs it on the caller's stack.
    ///
    /// - Complexity: O(1), and the start of a thread where all are busy and there may be more.
    package func submit(_ work: @escaping @Sendable () -> Void) {
        let needsThread = state.update { state in
            state.queue.append(work)
            guard !state.isStopped, state.queue.count > state.idle, state.threads < limit else { return false }
            state.threads += 1
            return true
        }
        guard needsThread else { return }
        // Where there is no thread to be had, the work waits for one of those that there are.
        do { try WorkerPool.start(state, patience: WorkerPool.patience) } catch { state.update { $0.threads -= 1 } }
    }

    /// Whether nothing waits and nothing runs.
    package var isAtRest: Bool { state.update { $0.isAtRest } }

    /// Sleeps until nothing waits and nothing runs.
    package func waitUntilAtRest() { state.wait { $0.isAtRest ? () : nil } }

    /// Ends the threads when they have done what they are at. What has not begun is dropped, on the caller's stack.
    package func stop() {
        let dropped = state.update { state in
            state.isStopped = true
            defer { state.queue = FIFO() }
            return state.queue
        }
        _ = dropped
    }

    private static func start(_ state: Monitor<State>, patience: Duration?) throws(BackendError) {
        try Thread.start {
            while runNext(state, patience) {}
        }
    }

    /// Runs the next piece of work; `false` when the thread is to end.
    private static func runNext(_ state: Monitor<State>, _ patience: Duration?) -> Bool {
        enum Step {
            case run(@Sendable () -> Void)
            case end
        }
        state.update { $0.idle += 1 }
        let step: Step? = state.wait(for: patience) { state in
            if state.isStopped {
                state.idle -= 1
                state.threads -= 1
                return .end
            }
            guard let work = state.queue.popFirst() else { return nil }
            state.idle -= 1
            state.running += 1
            return .run(work)
        }
        switch step {
        case .run(let work):
            work()
        case .end: return false
        case nil:
            return state.update { state in
                state.idle -= 1
                guard state.queue.isEmpty else { return true }
                state.threads -= 1
                return false
            }
        }
        state.update { $0.running -= 1 }
        return true
    }
}
