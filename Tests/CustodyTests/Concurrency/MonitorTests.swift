@testable import Custody
import Testing

@Suite(.timeLimit(.minutes(60))) struct MonitorTests {
    @Test func updatesAreNotLost() throws {
        let counter = Monitor(0)
        let running = Monitor(8)
        for _ in 0..<8 {
            try Thread.start {
                for _ in 0..<2000 { counter.update { $0 += 1 } }
                running.update { $0 -= 1 }
            }
        }
        #expect(running.wait(for: .seconds(30)) { $0 == 0 ? true : nil } == true)
        #expect(counter.update { $0 } == 16000)
    }

    /// Two threads that hand a ball to each other: a lost wake-up would stop the game.
    @Test func everyChangeWakesTheOther() throws {
        let ball = Monitor(0)
        try Thread.start {
            for round in 0..<2000 {
                _ = ball.wait { ball -> Bool? in
                    guard ball == 2 * round + 1 else { return nil }
                    ball += 1
                    return true
                }
            }
        }
        for round in 0..<2000 {
            ball.update { $0 += 1 }
            let isBack = ball.wait(for: .seconds(20)) { $0 == 2 * round + 2 ? true : nil }
            try #require(isBack == true, "round \(round)")
        }
    }

    @Test(arguments: [Duration.zero, .seconds(-1), .nanoseconds(-1), .milliseconds(-1500)])
    func noTimeIsNoWait(timeout: Duration) {
        #expect(Monitor(0).wait(for: timeout) { _ -> Int? in nil } == nil)
    }

    /// Longer than the clock goes: as good as for ever, and no trap.
    @Test(arguments: [
        Duration.seconds(Int64.max), Duration(secondsComponent: .max, attosecondsComponent: 999_999_999_999_999_999),
        Duration(secondsComponent: .max - 1, attosecondsComponent: 999_999_999_999_999_999),
    ])
    func theLongestTimeouts(timeout: Duration) throws {
        let monitor = Monitor(0)
        let woken = Monitor(false)
        try Thread.start {
            let value = monitor.wait(for: timeout) { $0 > 0 ? $0 : nil }
            woken.update { $0 = value == 1 }
        }
        monitor.update { $0 = 1 }
        #expect(woken.wait(for: .seconds(10)) { $0 ? true : nil } == true)
    }

    @Test func waitMayChangeTheValue() {
        let monitor = Monitor([1, 2, 3])
        #expect(monitor.wait { $0.popLast() } == 3)
        #expect(monitor.update { $0 } == [1, 2])
    }

    @Test func anErrorLeavesTheLockFree() {
        struct Refusal: Error {}
        let monitor = Monitor(1)
        #expect(throws: Refusal.self) {
            try monitor.update { value in
                value = 2
                throw Refusal()
            }
        }
        #expect(monitor.update { $0 } == 2)
    }
}
