import Synchronization

/// An executor with threads of its own and real, monotonic time: one that keeps times, one for work in its order, and
/// up to ``concurrency`` for work that has none.
///
/// The threads end when the executor is released; work that was not begun by then is dropped.
public final class ThreadExecutor: CompletionExecutor {
    /// The largest number of pieces of concurrent work that run at a time.
    public static let concurrency = 64

    private let origin = ContinuousClock.now
    private let serial: WorkerPool
    private let concurrent: WorkerPool
    private let timers: TimerThread
    /// How often something has been handed to a thread.
    private let submissions: Counter

    private final class Counter: Sendable {
        private let count = Atomic<UInt64>(0)
        var value: UInt64 { count.load(ordering: .sequentiallyConsistent) }
        func increment() { count.add(1, ordering: .sequentiallyConsistent) }
    }

    /// Starts the threads.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/resourcesExhausted`` where the system has no thread to give.
    public init() throws(BackendError) {
        let origin = origin
        let submissions = Counter()
        self.submissions = submissions
        let serial = try WorkerPool(limit: 1)
        self.serial = serial
        do throws(BackendError) {
            concurrent = try WorkerPool(limit: ThreadExecutor.concurrency)
        } catch {
            serial.stop()
            throw error
        }
        do throws(BackendError) {
            timers = try TimerThread(now: { ThreadExecutor.now(since: origin) }) { work in
                submissions.increment()
                serial.submit(work)
            }
        } catch {
            serial.stop()
            concurrent.stop()
            throw error
        }
    }

    deinit {
        timers.stop()
        serial.stop()
        concurrent.stop()
    }

    /// It does.
    public var runsByItself: Bool { true }

    /// Nanoseconds of monotonic time since the executor was made.
    public var now: Timestamp { ThreadExecutor.now(since: origin) }

    /// Hands work to the thread that does it in its order.
    ///
    /// - Complexity: O(1).
    public func submit(_ work: @escaping @Sendable () -> Void) {
        submissions.increment()
        serial.submit(work)
    }

    /// Hands work to a thread that is free, or to the next one to be.
    ///
    /// - Complexity: O(1).
    public func submitConcurrently(_ work: @escaping @Sendable () -> Void) {
        submissions.increment()
        concurrent.submit(work)
    }

    /// Hands work, when `deadline` has come, to the thread that does it in its order.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    @discardableResult
    public func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        submissions.increment()
        return timers.submit(at: deadline, isUrgent: false, work)
    }

    /// Runs work on the thread that keeps times.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    @discardableResult
    public func submitUrgently(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        submissions.increment()
        return timers.submit(at: deadline, isUrgent: true, work)
    }

    /// Forgets work for later.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    public func withdraw(_ timer: TimerID) { timers.withdraw(timer) }

    /// Sleeps for so long.
    public func pass(_ duration: Duration) {
        _ = Monitor(()).wait(for: duration) { _ -> Void? in nil }
    }

    /// Sleeps until the threads have nothing left that is due.
    public func drain() {
        while true {
            let before = submissions.value
            timers.waitUntilAtRest()
            serial.waitUntilAtRest()
            concurrent.waitUntilAtRest()
            // What was at rest stays so until something is handed over.
            if submissions.value == before { return }
        }
    }

    /// The number of timers that have not come due.
    package var timerCount: Int { timers.count }

    private static func now(since origin: ContinuousClock.Instant) -> Timestamp {
        Timestamp.zero.advanced(by: ContinuousClock.now - origin)
    }
}
