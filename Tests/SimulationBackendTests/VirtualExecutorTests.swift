import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@Suite struct VirtualExecutorTests {
    private final class Log: Sendable {
        private let lines = Locked<[String]>([])
        func note(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    private let clock = VirtualExecutor()
    private let log = Log()

    private func submit(_ name: String, at deadline: UInt64? = nil) {
        let work: @Sendable () -> Void = { [log, clock] in log.note("\(name)@\(clock.now.rawValue)") }
        if let deadline { clock.submit(at: Timestamp(rawValue: deadline), work) } else { clock.submit(work) }
    }

    @Test func nothingRunsByItself() {
        submit("a")
        submit("b", at: 0)
        #expect(log.all.isEmpty)
        clock.drain()
        #expect(Set(log.all) == ["a@0", "b@0"])
        clock.drain()
        #expect(log.all.count == 2, "once")
    }

    @Test func timersRunInTheOrderOfTheirTimeAndThenOfSubmission() {
        for (name, time) in [("c", 30), ("a", 10), ("d", 30), ("b", 20), ("e", 31)] as [(String, UInt64)] {
            submit(name, at: time)
        }
        clock.drain()
        #expect(log.all.isEmpty, "draining does not move time")
        clock.pass(.nanoseconds(30))
        #expect(log.all == ["a@10", "b@20", "c@30", "d@30"])
        #expect(clock.now.rawValue == 30)
        clock.pass(.nanoseconds(1))
        #expect(log.all.last == "e@31")
    }

    @Test func whatWasHandedOverEarlierRunsBeforeTimersThatCameDueLater() {
        submit("timer", at: 10)
        submit("work")
        clock.charge(.nanoseconds(20))
        submit("later")
        clock.drain()
        #expect(log.all == ["work@20", "timer@20", "later@20"])
    }

    /// A timer that is due now has the place of its submission among work without a time.
    @Test func whatIsDueAtOnceKeepsItsPlace() {
        let clock = VirtualExecutor()
        let order = Locked<[Int]>([])
        clock.submit { order.withLock { $0.append(1) } }
        clock.submit(at: clock.now) { order.withLock { $0.append(2) } }
        clock.submit { order.withLock { $0.append(3) } }
        clock.drain()
        #expect(order.withLock { $0 } == [1, 2, 3])
    }

    @Test func workMayHandOverMoreWork() {
        clock.submit { [self] in
            submit("now")
            submit("soon", at: 5)
            submit("late", at: 50)
            clock.submit(at: Timestamp(rawValue: 5)) { [self] in submit("sooner", at: 6) }
        }
        clock.pass(.nanoseconds(10))
        #expect(log.all == ["now@0", "soon@5", "sooner@6"])
    }

    @Test func chargingMovesTimeAndRunsNothing() {
        submit("timer", at: 10)
        clock.charge(.nanoseconds(20))
        #expect(log.all.isEmpty && clock.now.rawValue == 20)
        clock.drain()
        #expect(log.all == ["timer@20"])
    }

    @Test func timeNeitherWrapsNorGoesBack() {
        clock.pass(.seconds(Int64.max))
        clock.pass(.seconds(Int64.max))
        #expect(clock.now.rawValue == .max)
        clock.pass(.seconds(-5))
        clock.charge(.seconds(-5))
        #expect(clock.now.rawValue == .max)
    }

    @Test func equalSubmissionsRunEqually() {
        func run() -> [String] {
            var random = SplitMix64(seed: 3)
            let clock = VirtualExecutor()
            let log = Log()
            for number in 0..<500 {
                clock.submit(at: Timestamp(rawValue: random.next(upperBound: UInt64(50)))) { [clock, log] in
                    log.note("\(number)@\(clock.now.rawValue)")
                    clock.submit { log.note("after \(number)") }
                }
            }
            clock.pass(.nanoseconds(100))
            return log.all
        }
        let first = run()
        #expect(first == run())
        #expect(first.count == 1000)
        let times = first.compactMap { $0.split(separator: "@").dropFirst().first.flatMap { UInt64($0) } }
        #expect(times == times.sorted())
    }

    /// At the end of time there is work, and nothing that is due for ever.
    @Test func whatNeverComesIsNotRun() {
        clock.submit(at: .never) { [log] in log.note("never") }
        #expect(clock.timerCount == 0)
        clock.pass(.seconds(Int64.max))
        clock.pass(.seconds(Int64.max))
        #expect(clock.now == .never)
        @Sendable func again() {
            log.note("again")
            clock.submit(at: clock.now.advanced(by: .seconds(1)), again)
        }
        again()
        submit("work")
        clock.drain()
        #expect(log.all == ["again", "work@18446744073709551615"])
    }

    @Test func withdrawnTimersAreGone() {
        let ids = (0..<1000).map { clock.submit(at: Timestamp(rawValue: UInt64($0 * 7919 % 1000))) {} }
        #expect(clock.timerCount == 1000)
        for id in ids { clock.withdraw(id) }
        #expect(clock.timerCount == 0 && clock.workCount == 0)
    }
}
