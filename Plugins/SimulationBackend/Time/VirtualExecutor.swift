public import Custody

/// An executor whose time stands still until somebody moves it.
///
/// Work runs on the thread that calls ``drain()`` or ``pass(_:)``, in the order of its time and then of its submission,
/// so a run is the same on every machine.
public final class VirtualExecutor: CompletionExecutor {
    private struct Timer {
        let id: TimerID
        let deadline: Timestamp
        let work: @Sendable () -> Void
    }

    private struct State {
        var now = Timestamp.zero
        /// Latest first, so that the next one is taken off the end. Work without a time has that of its submission.
        var timers: [Timer] = []
        var nextTimer: UInt64 = 1

        mutating func add(_ deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
            let last = timers.lastIndex { $0.deadline > deadline }
            let id = TimerID(rawValue: nextTimer)
            nextTimer += 1
            timers.insert(Timer(id: id, deadline: deadline, work: work), at: last.map { $0 + 1 } ?? 0)
            return id
        }
    }

    private let state = Locked(State())

    /// An executor at time zero.
    public init() {}

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
    public func submit(_ work: @escaping @Sendable () -> Void) { state.withLock { _ = $0.add($0.now, work) } }

    /// Keeps work for the first ``drain()`` or ``pass(_:)`` that reaches `deadline`.
    ///
    /// - Complexity: O(*n*) in the number of timers.
    @discardableResult
    public func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        state.withLock { $0.add(deadline, work) }
    }

    /// Forgets work for later.
    ///
    /// - Complexity: O(*n*) in the number of timers.
    public func withdraw(_ timer: TimerID) { state.withLock { $0.timers.removeAll { $0.id == timer } } }

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

    private func takeDue() -> (@Sendable () -> Void)? {
        state.withLock { state in
            guard let timer = state.timers.last, timer.deadline <= state.now else { return nil }
            return state.timers.removeLast().work
        }
    }

    /// Moves time to the next timer before `end`, or to `end`; `false` when there is nothing more to run.
    private func move(to end: Timestamp) -> Bool {
        state.withLock { state in
            guard let timer = state.timers.last, timer.deadline <= end else {
                state.now = max(state.now, end)
                return false
            }
            state.now = max(state.now, timer.deadline)
            return true
        }
    }
}
