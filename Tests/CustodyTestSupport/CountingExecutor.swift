package import Custody
package import SimulationBackend
import Synchronization

/// A virtual executor that counts what is handed to it, and how often time is let pass.
package final class CountingExecutor: CompletionExecutor {
    package let clock = VirtualExecutor()
    private let submitted = Atomic<Int>(0)
    private let passed = Atomic<Int>(0)

    package init() {}

    /// Pieces of work without a time.
    package var submissions: Int { submitted.load(ordering: .relaxed) }
    /// Calls that let time pass.
    package var passes: Int { passed.load(ordering: .relaxed) }
    package var now: Timestamp { clock.now }
    package var runsByItself: Bool { false }

    package func submit(_ work: @escaping @Sendable () -> Void) {
        submitted.add(1, ordering: .relaxed)
        clock.submit(work)
    }
    package func submitConcurrently(_ work: @escaping @Sendable () -> Void) {
        submitted.add(1, ordering: .relaxed)
        clock.submitConcurrently(work)
    }
    package func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        clock.submit(at: deadline, work)
    }
    package func submitUrgently(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        clock.submitUrgently(at: deadline, work)
    }
    package func withdraw(_ timer: TimerID) { clock.withdraw(timer) }
    package func pass(_ duration: Duration) {
        passed.add(1, ordering: .relaxed)
        clock.pass(duration)
    }
    package func drain() { clock.drain() }
}
