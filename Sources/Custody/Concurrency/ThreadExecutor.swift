#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// An executor with a thread of its own and real, monotonic time.
///
/// The thread ends when the executor is released; work that was not begun by then is dropped.
public final class ThreadExecutor: CompletionExecutor {
    private struct Timer {
        let id: TimerID
        let deadline: Timestamp
        let work: @Sendable () -> Void
    }

    private struct Queue {
        var due: [@Sendable () -> Void] = []
        /// Latest first, so that the next one is taken off the end.
        var timers: [Timer] = []
        var nextTimer: UInt64 = 1
        var isRunning = false
        var isStopped = false
    }

    private let queue = Monitor(Queue())
    private let origin = ContinuousClock.now

    /// Starts the thread.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/resourcesExhausted`` where the system has no thread to give.
    public init() throws(BackendError) {
        let queue = queue
        let origin = origin
        try Thread.start {
            while let work = ThreadExecutor.next(queue, origin) {
                work()
                queue.update { $0.isRunning = false }
            }
        }
    }

    deinit { queue.update { $0.isStopped = true } }

    /// Nanoseconds of monotonic time since the executor was made.
    public var now: Timestamp { ThreadExecutor.now(since: origin) }

    /// Hands work to the thread.
    public func submit(_ work: @escaping @Sendable () -> Void) { queue.update { $0.due.append(work) } }

    /// Hands work to the thread for later.
    ///
    /// - Complexity: O(*n*) in the number of timers.
    @discardableResult
    public func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        queue.update { queue in
            let index = queue.timers.firstIndex { $0.deadline <= deadline } ?? queue.timers.count
            let id = TimerID(rawValue: queue.nextTimer)
            queue.nextTimer += 1
            queue.timers.insert(Timer(id: id, deadline: deadline, work: work), at: index)
            return id
        }
    }

    /// Forgets work for later.
    ///
    /// - Complexity: O(*n*) in the number of timers.
    public func withdraw(_ timer: TimerID) { queue.update { $0.timers.removeAll { $0.id == timer } } }

    /// Sleeps for so long.
    public func pass(_ duration: Duration) {
        _ = Monitor(()).wait(for: duration) { _ -> Void? in nil }
    }

    /// Sleeps until the thread has nothing left that is due.
    public func drain() {
        queue.wait { queue in
            let isTimerDue = queue.timers.last.map { $0.deadline <= now } ?? false
            return queue.due.isEmpty && !queue.isRunning && !isTimerDue ? () : nil
        }
    }

    private static func now(since origin: ContinuousClock.Instant) -> Timestamp {
        Timestamp.zero.advanced(by: ContinuousClock.now - origin)
    }

    /// The next piece of work, or `nil` when the executor is gone.
    private static func next(_ queue: Monitor<Queue>, _ origin: ContinuousClock.Instant) -> (@Sendable () -> Void)? {
        while true {
            enum Step {
                case run(@Sendable () -> Void)
                case stop
                case lookAgain
            }
            let awaited = queue.update { queue in queue.timers.last?.deadline }
            let step: Step? = queue.wait(for: awaited.map { $0.since(now(since: origin)) }) { queue in
                if queue.isStopped { return .stop }
                if let timer = queue.timers.last, timer.deadline <= now(since: origin) {
                    queue.timers.removeLast()
                    queue.isRunning = true
                    return .run(timer.work)
                }
                if queue.due.isEmpty {
                    // Another timer may have become the next one: the sleep is for the one it was begun with.
                    return queue.timers.last?.deadline == awaited ? nil : .lookAgain
                }
                queue.isRunning = true
                return .run(queue.due.removeFirst())
            }
            switch step {
            case .run(let work): return work
            case .stop: return nil
            case .lookAgain, nil: continue
            }
        }
    }
}
