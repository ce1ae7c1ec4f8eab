@testable import Custody
import Testing

@Suite(.timeLimit(.minutes(60))) struct ThreadExecutorTests {
    @Test func workRunsInItsOrderAndElsewhere() throws {
        let executor = try ThreadExecutor()
        let order = Monitor<[Int]>([])
        let gate = Monitor(false)
        executor.submit { gate.wait { $0 ? () : nil } }
        for number in 0..<500 { executor.submit { order.update { $0.append(number) } } }
        #expect(order.update { $0.isEmpty }, "nothing runs on the submitter's stack")
        gate.update { $0 = true }
        executor.drain()
        #expect(order.update { $0 } == Array(0..<500))
    }

    @Test func drainWaitsForWhatWorkHandsOver() throws {
        let executor = try ThreadExecutor()
        let count = Monitor(0)
        @Sendable func again(_ depth: Int) {
            count.update { $0 += 1 }
            if depth > 0 { executor.submit { again(depth - 1) } }
        }
        for _ in 0..<20 {
            executor.submit { again(10) }
            executor.drain()
        }
        #expect(count.update { $0 } == 220)
        executor.drain()
    }

    /// Work of one kind hands over work of the other, to a thread that has been found at rest before.
    @Test func drainWaitsForWhatGoesFromThreadToThread() throws {
        let executor = try ThreadExecutor()
        for _ in 0..<20 {
            let isDone = Monitor(false)
            executor.submitConcurrently { [weak executor] in
                executor?.submit { [weak executor] in
                    executor?.pass(.milliseconds(2))
                    isDone.update { $0 = true }
                }
            }
            executor.drain()
            #expect(isDone.update { $0 })
        }
    }

    /// Handed over while the thread sleeps, with nothing else that would wake it.
    @Test func aTimerWakesAnIdleThread() throws {
        let executor = try ThreadExecutor()
        executor.drain()
        executor.pass(.milliseconds(20))
        let fired = Monitor<Timestamp?>(nil)
        let deadline = executor.now.advanced(by: .milliseconds(20))
        executor.submit(at: deadline) { [weak executor] in fired.update { $0 = executor?.now } }
        let time = try #require(fired.wait(for: .seconds(5)) { $0 })
        #expect(time >= deadline)
    }

    /// Nor does it where the thread sleeps until the later one already.
    @Test func anEarlierTimerWakesAThreadThatWaitsForALaterOne() throws {
        let executor = try ThreadExecutor()
        executor.submit(at: executor.now.advanced(by: .seconds(1000))) {}
        executor.pass(.milliseconds(20))
        let fired = Monitor(false)
        executor.submit(at: executor.now.advanced(by: .milliseconds(1))) { fired.update { $0 = true } }
        #expect(fired.wait(for: .seconds(60)) { $0 ? true : nil } == true)
    }

    @Test func anEarlierTimerDoesNotWaitForALaterOne() throws {
        let executor = try ThreadExecutor()
        let order = Monitor<[Int]>([])
        for number in [5, 3, 4, 1, 2] {
            let deadline = executor.now.advanced(by: .milliseconds(30 * number))
            executor.submit(at: deadline) { order.update { $0.append(number) } }
        }
        executor.submit(at: Timestamp(rawValue: .max)) { order.update { $0.append(9) } }
        #expect(order.wait(for: .seconds(10)) { $0.count == 5 ? $0 : nil } == [1, 2, 3, 4, 5])
    }

    @Test func drainWaitsForTimersThatAreDue() throws {
        let executor = try ThreadExecutor()
        for _ in 0..<200 {
            let isDone = Monitor(false)
            executor.submit(at: executor.now) { isDone.update { $0 = true } }
            executor.drain()
            #expect(isDone.update { $0 })
        }
    }

    @Test func passSleeps() throws {
        let executor = try ThreadExecutor()
        let before = executor.now
        executor.pass(.milliseconds(20))
        #expect(executor.now.since(before) >= .milliseconds(20))
    }

    @Test func theThreadEndsWithTheObject() throws {
        final class Probe: Sendable {
            let ended: Monitor<Bool>
            init(_ ended: Monitor<Bool>) { self.ended = ended }
            deinit { ended.update { $0 = true } }
        }
        let ended = Monitor(false)
        let ran = Monitor(false)
        do {
            let executor = try ThreadExecutor()
            let probe = Probe(ended)
            executor.submit(at: Timestamp(rawValue: .max)) {
                _ = probe
                ran.update { $0 = true }
            }
            executor.drain()
        }
        #expect(ended.wait(for: .seconds(10)) { $0 ? true : nil } == true, "what was not begun is dropped")
        #expect(ran.update { !$0 })
    }

    @Test func itMayBeReleasedByItsOwnWork() throws {
        let done = Monitor(false)
        let kept = Monitor<ThreadExecutor?>(nil)
        do {
            let executor = try ThreadExecutor()
            kept.update { $0 = executor }
            executor.submit {
                kept.update { $0 = nil }
                done.update { $0 = true }
            }
        }
        #expect(done.wait(for: .seconds(10)) { $0 ? true : nil } == true)
    }

    // MARK: What must be on time beside what may block

    @Test func whatIsUrgentWaitsForNobody() throws {
        let executor = try ThreadExecutor()
        let gate = Monitor(false)
        let blocked = Monitor(0)
        let block: @Sendable () -> Void = {
            blocked.update { $0 += 1 }
            gate.wait { $0 ? () : nil }
        }
        executor.submit(block)
        for _ in 0..<ThreadExecutor.concurrency { executor.submitConcurrently(block) }
        #expect(blocked.wait(for: .seconds(60)) { $0 == ThreadExecutor.concurrency + 1 ? $0 : nil } != nil)
        // Everything that may block is blocked.
        let fired = Monitor(false)
        executor.submitUrgently(at: executor.now.advanced(by: .milliseconds(1))) { fired.update { $0 = true } }
        #expect(fired.wait(for: .seconds(60)) { $0 ? true : nil } == true)
        let late = Monitor(0)
        executor.submit(at: executor.now) { late.update { $0 += 1 } }
        executor.submitConcurrently { late.update { $0 += 1 } }
        #expect(late.wait(for: .milliseconds(20)) { $0 > 0 ? $0 : nil } == nil, "these wait")
        gate.update { $0 = true }
        executor.drain()
        #expect(late.update { $0 } == 2)
    }

    @Test func concurrentWorkDoesNotHoldUpOther() throws {
        let executor = try ThreadExecutor()
        let gate = Monitor(false)
        let done = Monitor(0)
        executor.submitConcurrently { gate.wait { $0 ? () : nil } }
        executor.submitConcurrently { done.update { $0 += 1 } }
        executor.submit { done.update { $0 += 1 } }
        executor.submit(at: executor.now) { done.update { $0 += 1 } }
        #expect(done.wait(for: .seconds(60)) { $0 == 3 ? $0 : nil } == 3)
        gate.update { $0 = true }
        executor.drain()
    }

    /// A timer that has come due and whose work runs is not at rest, although nothing else is due.
    @Test(arguments: [true, false]) func theThreadThatKeepsTimesIsNotAtRestWhileItRuns(isUrgent: Bool) throws {
        let thread = try TimerThread(now: { Timestamp(rawValue: 5) }, handOver: { $0() })
        let gate = Monitor((isReached: false, isOpen: false))
        _ = thread.submit(at: .zero, isUrgent: isUrgent) {
            gate.update { $0.isReached = true }
            gate.wait { $0.isOpen ? () : nil }
        }
        gate.wait { $0.isReached ? () : nil }
        #expect(thread.count == 0 && !thread.isAtRest)
        gate.update { $0.isOpen = true }
        thread.waitUntilAtRest()
        #expect(thread.isAtRest)
        thread.stop()
    }

    @Test func aTimerThatIsWithdrawnIsGone() throws {
        let executor = try ThreadExecutor()
        let far = executor.now.advanced(by: .seconds(1000))
        let ran = Monitor(0)
        let ids = (0..<1000).map { number in
            number % 2 == 0
                ? executor.submit(at: far) { ran.update { $0 += 1 } }
                : executor.submitUrgently(at: far) { ran.update { $0 += 1 } }
        }
        executor.submit(at: .never) { ran.update { $0 += 1 } }
        #expect(executor.timerCount == 1000, "what never comes is not kept")
        for id in ids.shuffled() { executor.withdraw(id) }
        #expect(executor.timerCount == 0)
        executor.drain()
        #expect(ran.update { $0 } == 0)
    }
}

@Suite(.timeLimit(.minutes(60))) struct WorkerPoolTests {
    @Test func thereAreNoMoreThreadsThanTheLimit() throws {
        let pool = try WorkerPool(limit: 3)
        let gate = Monitor(false)
        let begun = Monitor(0)
        for _ in 0..<10 {
            pool.submit {
                begun.update { $0 += 1 }
                gate.wait { $0 ? () : nil }
            }
        }
        #expect(begun.wait(for: .seconds(60)) { $0 == 3 ? $0 : nil } == 3)
        #expect(pool.threads == 3 && pool.waiting == 7)
        gate.update { $0 = true }
        pool.waitUntilAtRest()
        #expect(begun.update { $0 } == 10 && pool.threads <= 3)
        pool.stop()
    }

    /// What has been taken out of the queue and is not done is not at rest.
    @Test func whatRunsIsNotAtRest() throws {
        let pool = try WorkerPool(limit: 1)
        let gate = Monitor((isReached: false, isOpen: false))
        pool.submit {
            gate.update { $0.isReached = true }
            gate.wait { $0.isOpen ? () : nil }
        }
        gate.wait { $0.isReached ? () : nil }
        #expect(pool.waiting == 0 && !pool.isAtRest)
        gate.update { $0.isOpen = true }
        pool.waitUntilAtRest()
        #expect(pool.isAtRest)
        pool.stop()
    }

    /// A thread that is idle takes the work; no other is started for it.
    @Test func anIdleThreadIsUsedAgain() throws {
        let pool = try WorkerPool(limit: 64)
        for _ in 0..<200 {
            pool.submit {}
            pool.waitUntilAtRest()
        }
        #expect(pool.threads < 64, "\(pool.threads) threads for one piece of work at a time")
        pool.stop()
    }
}
