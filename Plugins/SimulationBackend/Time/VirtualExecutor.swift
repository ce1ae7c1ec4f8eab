public import Custody

/// An executor whose time stands still until somebody moves it.
///
/// Work runs on the thread that calls ``drain()`` or ``pass(_:)``, in the order of its time and then of its submission,
/// so a run is the same on every machine. Work without a time has that of its submission.
public final class VirtualExecutor: CompletionExecutor {
    private typealias Work = @Sendable () -> Void

    private struct State {
        var now = Timestamp.zero
        var timers = TimerQueue<Work>()
        /// Work without a time, with that of its submission and its number among the timers.
        var immediate = FIFO<(time: Timestamp, number: TimerID, work: Work)>()

        mutating func popDue() -> Work? {
            guard let first = immediate.first else { return timers.popDue(by: now)?.work }
            let isTimerFirst = timers.next.map { ($0.deadline, $0.id.rawValue) < (first.time, first.number.rawValue) }
            return isTimerFirst == true ? timers.popDue(by: now)?.work : immediate.popFirst()?.work
        }
    }

    private let state = Locked(State())

    /// An executor at time zero.
    public init() {}

    /// It does not.
    public var runsByItself: Bool { false }

    /// The virtual time.
    public var now: Timestamp { state.withLock { $0.now } }

    /// Moves time on by what something took, without running anything.
    public func charge(_ duration: Duration) { state.withLock { $0.now = $0.now.advanced(by: duration) } }

    /// Moves time on by so many nanoseconds, at most to the last point there is.
    func charge(nanoseconds: UInt64) {
        state.withLock { state in
            let (sum, overflow) = state.now.rawValue.addingReportingOverflow(nanoseconds)
            state.now = Timestamp(rawValue: overflow ? .max : sum)
        }
    }

    /// Keeps work for the next ``drain()``.
    public func submit(_ work: @escaping @Sendable () -> Void) {
        state.withLock { $0.immediate.append(($0.now, $0.timers.nextNumber(), work)) }
    }

    /// Keeps work for the next ``drain()``: nothing runs beside anything else here.
    public func submitConcurrently(_ work: @escaping @Sendable () -> Void) { submit(work) }

    /// Keeps work for the first ``drain()`` or ``pass(_:)`` that reaches `deadline`.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    @discardableResult
    public func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        state.withLock { $0.timers.insert(deadline, work) }
    }

    /// Keeps work for the first ``drain()`` or ``pass(_:)`` that reaches `deadline`.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    @discardableResult
    public func submitUrgently(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        submit(at: deadline, work)
    }

    /// Forgets work for later.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    public func withdraw(_ timer: TimerID) {
        // Dropped without the lock: what it holds may be the last reference to somebody who withdraws a timer.
        let dropped = state.withLock { $0.timers.remove(timer) }
        _ = dropped
    }

    /// The number of timers that have not come due.
    public var timerCount: Int { state.withLock { $0.timers.count } }

    /// The number of pieces of work that wait for the next ``drain()``.
    public var workCount: Int { state.withLock { $0.immediate.count } }

    /// Runs what is due, and what that submits.
    public func drain() {
        while let work = takeDue() { work() }
    }

    /// Moves time on, from one timer to the next, and runs each at its own time.
    public func pass(_ duration: Duration) {
        let end = now.advanced(by: duration)
        drain()
        while move(to: end) { drain() }
    }

    private func takeDue() -> Work? { state.withLock { $0.popDue() } }

    /// Moves time to the next timer before `end`, or to `end`; `false` when there is nothing more to run.
    private func move(to end: Timestamp) -> Bool {
        state.withLock { state in
            guard let next = state.timers.next, next.deadline <= end else {
                state.now = max(state.now, end)
                return false
            }
            state.now = max(state.now, next.deadline)
            return true
        }
    }
}
