#if Libvirt
import Custody

/// An executor for which no time passes: what is to be done later is kept, and never done.
final class TimelessExecutor: CompletionExecutor {
    private struct State {
        var last: UInt64 = 0
        var timers: Set<TimerID> = []
    }

    private let threads: ThreadExecutor
    private let state = Locked(State())

    init() throws { threads = try ThreadExecutor() }

    /// What is kept, and was not withdrawn.
    var timers: Set<TimerID> { state.withLock { $0.timers } }

    var now: Timestamp { threads.now }
    var runsByItself: Bool { true }
    func submit(_ work: @escaping @Sendable () -> Void) { threads.submit(work) }
    func submitConcurrently(_ work: @escaping @Sendable () -> Void) { threads.submitConcurrently(work) }

    func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        state.withLock { state in
            state.last += 1
            state.timers.insert(TimerID(rawValue: state.last))
            return TimerID(rawValue: state.last)
        }
    }

    func submitUrgently(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        submit(at: deadline, work)
    }

    func withdraw(_ timer: TimerID) { state.withLock { _ = $0.timers.remove(timer) } }
    func pass(_ duration: Duration) { threads.pass(duration) }
    func drain() { threads.drain() }
}
#endif
