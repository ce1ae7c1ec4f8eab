import Custody
import CustodyTestSupport
import Foundation
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The lock of all that is held for a moment.
@Suite(.timeLimit(.minutes(60))) struct LockedTests {
    /// A thread that takes a lock when it is told to.
    private struct Sleeper {
        var asked = 0
        var done = 0
        /// As `/proc` names it.
        var name: String?
        /// Why it is not of the class that it is to be of.
        var error: CInt = 0
    }

    /// `SCHED_BATCH` of Linux: a thread of this class that wakes up takes the processor from nobody.
    private static let batch: CInt = 3

    /// A lock that is handed to whoever sleeps in it is nobody's until that one has woken up: each acquisition costs a switch
    /// of context. This one is taken by whoever runs: the thread that has just released it has it again before the one that
    /// sleeps, which finds every processor busy when it wakes up. The system may stop a thread at any point, so that once in
    /// many rounds is enough; with a lock that is handed over it is never.
    @Test func whoeverRunsTakesItBeforeWhoeverSleeps() throws {
        let lock = Locked(0)
        let sleeper = Monitor(Sleeper())
        let begun = Atomic(0)
        let isOver = Atomic(false)
        defer {
            isOver.store(true, ordering: .sequentiallyConsistent)
            sleeper.update { $0.asked = .max }
        }
        try Thread.start {
            var parameters = sched_param()
            let error = unsafe sched_setscheduler(0, LockedTests.batch, &parameters) == 0 ? 0 : errno
            let name = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
            sleeper.update { sleeper in
                sleeper.error = error
                sleeper.name = name ?? ""
            }
            var round = 0
            while true {
                round += 1
                sleeper.wait { $0.asked >= round ? () : nil }
                if isOver.load(ordering: .sequentiallyConsistent) { return }
                // From here on it sleeps nowhere but in the lock.
                begun.store(round, ordering: .sequentiallyConsistent)
                lock.withLock { $0 += 1 }
                sleeper.update { $0.done = round }
            }
        }
        let name = try #require(sleeper.wait { $0.name })
        try #require(sleeper.update { $0.error } == 0, "sched_setscheduler")
        for _ in 0..<ProcessInfo.processInfo.activeProcessorCount {
            try Thread.start { while !isOver.load(ordering: .relaxed) {} }
        }
        for round in 1...100 {
            try lock.withLock { _ throws in
                sleeper.update { $0.asked = round }
                while begun.load(ordering: .sequentiallyConsistent) < round { ThreadCrew.yield() }
                while try !isAsleep(name) { ThreadCrew.yield() }
            }
            if lock.withLock({ $0 < round }) { return }
            sleeper.wait { $0.done == round ? () : nil }
        }
        Issue.record("the thread that slept was first in each of a hundred rounds")
    }

    /// Whether a thread sleeps: the letter behind its name.
    private func isAsleep(_ thread: String) throws -> Bool {
        let text = try String(contentsOfFile: "/proc/\(thread)/stat", encoding: .utf8)
        let name = try #require(text.lastIndex(of: ")"))
        return text[name...].dropFirst(2).first == "S"
    }
}
