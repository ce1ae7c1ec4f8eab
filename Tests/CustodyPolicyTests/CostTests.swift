import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@testable import CustodyPolicy

/// What things cost, in counts: timers, queues, entries, pieces of work, at one size and at sixteen times that.
@Suite struct CostTests {
    private struct Guest {
        let executor = CountingExecutor()
        let backend: FakeBackend
        let controller: MemoryController

        init(
            pages: Int,
            initially ownership: Ownership = .shared,
            policy: any Policy = AllowAll(),
            limits: ControllerLimits = ControllerLimits()
        ) throws {
            let layout = try GuestMemoryLayout(pages: 0..<UInt64(pages))
            backend = FakeBackend(layout, initially: ownership, executor: executor)
            controller = MemoryController(backend: backend, policy: policy, limits: limits)
        }

        @discardableResult
        func convert(
            _ pages: Range<Int>,
            to target: Ownership,
            deadline: Duration? = nil
        ) throws -> ConversionOutcome {
            let range = try PageRange(pages: UInt64(pages.lowerBound)..<UInt64(pages.upperBound))
            return try controller.convert(
                ConversionRequest(range, to: target, by: .host("vmm"), whenHeld: .handOver(deadline: deadline))
            )
        }

        func lease(_ pages: Range<Int>, _ kind: LeaseKind = .pin) throws -> HostLease {
            let range = try PageRange(pages: UInt64(pages.lowerBound)..<UInt64(pages.upperBound))
            return try controller.lease(range, kind, for: Holder(device: "nic"))
        }

        /// Shared runs with a time of their own, and pages of no run.
        var boxes: Int { controller.state.withLock { $0.timeBoxes.count } }
    }

    private static let size = 256

    // MARK: Releases

    /// One pin that as many hand-overs wait for as there are: the release hands over one piece of work, and what follows
    /// is as much as there is to do.
    @Test(arguments: [size, 16 * size])
    func aReleaseHandsOverOnePieceOfWork(count: Int) throws {
        let guest = try Guest(pages: count)
        let lease = try guest.lease(0..<count)
        let tickets = try (0..<count).map { page in
            try guest.convert(page..<(page + 1), to: .private, deadline: .seconds(60)).ticket
        }
        #expect(guest.executor.clock.timerCount == count)
        let before = guest.executor.submissions
        lease.release()
        #expect(guest.executor.submissions == before + 1)
        #expect(guest.executor.clock.workCount == 1 && guest.backend.calls.isEmpty)
        guest.executor.drain()
        #expect(tickets.allSatisfy { $0?.result?.word == "completed" })
        let spent = guest.executor.submissions - before
        #expect(spent <= count + count / 32 + 4, "\(spent) pieces of work for \(count) hand-overs")
        #expect(guest.executor.clock.timerCount == 0, "what ends takes its timer along")
    }

    /// However many let go before anybody looks, it is a bounded list that is looked at.
    @Test(arguments: [size, 16 * size], [false, true])
    func manyReleasesAreLookedAtTogether(count: Int, isFromTheLastOn: Bool) throws {
        let guest = try Guest(pages: count)
        var leases: [LeaseBox] = []
        for page in 0..<count { leases.append(LeaseBox(try guest.lease(page..<(page + 1)))) }
        for page in 0..<count { try guest.convert(page..<(page + 1), to: .private) }
        let before = guest.executor.submissions
        for lease in isFromTheLastOn ? leases.reversed() : leases { lease.release() }
        #expect(guest.executor.submissions == before + 1 && guest.executor.clock.workCount == 1)
        guest.executor.drain()
        #expect(guest.controller.pendingTickets.isEmpty)
        #expect(guest.executor.submissions - before <= count + count / 32 + 140)
    }

    // MARK: Timers

    private enum End: CaseIterable {
        case completed, cancelled, convertedBack, failed, expired, backEndLost, postponed, postponedAndExpired
        case controllerGone
    }

    /// A hand-over that has ended has no timer, however it ended.
    @Test(arguments: End.allCases, [1, 16])
    private func whatEndsTakesItsTimerAlong(end: End, count: Int) throws {
        var guest: Guest? = try Guest(pages: 64)
        guard let clock = guest?.executor.clock, let backend = guest?.backend else { return }
        var boxes: [LeaseBox] = []
        for page in 0..<count { boxes.append(LeaseBox(try #require(guest).lease(page..<(page + 1)))) }
        let tickets = try (0..<count).compactMap {
            try guest?.convert($0..<($0 + 1), to: .private, deadline: .seconds(60)).ticket
        }
        #expect(clock.timerCount == count)
        let releaseAll = {
            for box in boxes { box.release() }
            clock.drain()
        }
        switch end {
        case .completed: releaseAll()
        case .cancelled: for ticket in tickets { ticket.cancel() }
        case .convertedBack: try guest?.convert(0..<count, to: .shared)
        case .failed:
            backend.plan { plan in for number in 1...count { plan.prepare[number] = BackendError(.system, "EIO") } }
            releaseAll()
        case .expired: clock.pass(.seconds(60))
        case .backEndLost: backend.lose(BackendError(.lost, "gone"))
        case .postponed, .postponedAndExpired:
            backend.plan { plan in for number in 1...1000 * count { plan.commit[number] = .block([]) } }
            releaseAll()
            #expect(clock.timerCount == 2 * count, "the deadline, and the time at which it is tried again")
            if end == .postponed { for ticket in tickets { ticket.cancel() } } else { clock.pass(.seconds(60)) }
        case .controllerGone:
            boxes = []
            guest = nil
            clock.drain()
        }
        #expect(tickets.allSatisfy { $0.result != nil })
        #expect(clock.timerCount == 0, "\(end)")
        releaseAll()
        #expect(clock.workCount == 0)
    }

    /// What has ended before its deadline is watched is not watched.
    @Test func whatEndsAtOnceHasNoTimer() throws {
        let guest = try Guest(pages: 4)
        guest.backend.plan { $0.commit[1] = .pendAndComplete }
        let ticket = try #require(try guest.convert(0..<4, to: .private, deadline: .seconds(60)).ticket)
        #expect(ticket.result?.word == "completed" && guest.executor.clock.timerCount == 0)
    }

    /// A deadline that is further away than there is time is none.
    @Test func aDeadlineThatNeverComesIsNone() throws {
        let guest = try Guest(pages: 4)
        let lease = try guest.lease(0..<1)
        let ticket = try #require(try guest.convert(0..<2, to: .private, deadline: .seconds(Int64.max)).ticket)
        #expect(ticket.deadline == nil && guest.executor.clock.timerCount == 0)
        guest.executor.pass(.seconds(Int64.max))
        guest.executor.pass(.seconds(Int64.max))
        #expect(guest.executor.now == .never && ticket.result == nil)
        lease.release()
        guest.executor.drain()
        #expect(ticket.result?.word == "completed")
    }

    // MARK: Time boxes

    private func boxed(_ period: Duration) -> any Policy { AllOf([Terms.timeBox(period)]) }

    /// A guest that shares a page and takes it back, again and again, leaves nothing.
    @Test(arguments: [size, 16 * size])
    func flipsLeaveNothing(count: Int) throws {
        let guest = try Guest(pages: 16, initially: .private, policy: boxed(.seconds(60)))
        for number in 0..<count {
            let page = number % 16
            try guest.convert(page..<(page + 1), to: .shared)
            try guest.convert(page..<(page + 1), to: .private)
            guest.executor.clock.charge(.microseconds(1))
        }
        #expect(guest.boxes == 0 && guest.executor.clock.timerCount <= 1 && guest.executor.clock.workCount == 0)
        for page in stride(from: 0, to: 16, by: 2) { try guest.convert(page..<(page + 1), to: .shared) }
        #expect(guest.boxes == 8 && guest.executor.clock.timerCount == 1, "as many as pages are shared, and one timer")
        guest.executor.pass(.seconds(120))
        #expect(guest.boxes == 0 && guest.executor.clock.timerCount == 0)
        #expect(guest.controller.tally.shared == 0)
    }

    /// As many boxes as there are end with one timer; neighbours in one request, others in one each.
    @Test(arguments: [size, 16 * size])
    func boxesEndTogether(count: Int) throws {
        let guest = try Guest(pages: count, initially: .private, policy: boxed(.seconds(1)))
        for page in 0..<count { try guest.convert(page..<(page + 1), to: .shared) }
        #expect(guest.boxes == count && guest.executor.clock.timerCount == 1)
        guest.backend.forgetCalls()
        guest.executor.pass(.seconds(1))
        #expect(guest.controller.tally.private == UInt64(count))
        #expect(guest.backend.calls.count == 3 * (1 + (count - 1) / 1024), "prepare, commit, finish of 1024 boxes")
        #expect(guest.boxes == 0 && guest.executor.clock.timerCount == 0)

        for page in stride(from: 0, to: count, by: 2) { try guest.convert(page..<(page + 1), to: .shared) }
        guest.backend.forgetCalls()
        let before = guest.executor.submissions
        guest.executor.pass(.seconds(1))
        #expect(guest.controller.tally.private == UInt64(count))
        #expect(guest.backend.calls.count == 3 * count / 2 && guest.executor.submissions == before + 1)
    }

    /// What somebody holds does not keep its neighbours waiting, and what is denied does not keep them shared.
    @Test func neighboursAreAskedForOneByOneWhereTogetherDoesNotDo() throws {
        let guest = try Guest(pages: 8, initially: .private, policy: boxed(.seconds(1)))
        for page in 0..<8 { try guest.convert(page..<(page + 1), to: .shared) }
        let pin = try guest.lease(3..<4)
        let mapping = try guest.lease(5..<6, .mapping)
        guest.executor.pass(.seconds(1))
        let letters = guest.controller.runs(in: guest.controller.layout.bounds).map { "\($0.range.count) \($0.state)" }
        #expect(letters == ["3 private", "1 in-transit", "1 private", "1 shared", "2 private"])
        pin.release()
        mapping.release()
        guest.executor.pass(.seconds(1))
        #expect(guest.controller.tally.private == 8 && guest.boxes == 0)
    }

    /// A pin alone keeps nobody else waiting either: its page is in transit by itself.
    @Test func neighboursOfAPinAreNotInItsHandOver() throws {
        let guest = try Guest(pages: 4, initially: .private, policy: boxed(.seconds(1)))
        for page in 0..<4 { try guest.convert(page..<(page + 1), to: .shared) }
        let pin = try guest.lease(1..<2)
        guest.executor.pass(.seconds(1))
        let letters = guest.controller.runs(in: guest.controller.layout.bounds).map { "\($0.range.count) \($0.state)" }
        #expect(letters == ["1 private", "1 in-transit", "2 private"])
        pin.release()
        guest.executor.drain()
        #expect(guest.controller.tally.private == 4)
    }

    /// There is one timer, for whatever is due first, and another one when that is over.
    @Test func theFirstOfTheBoxesHasTheTimer() throws {
        let (early, late) = (try PageRange(pages: 4..<8), try PageRange(pages: 0..<4))
        let rules = [PerRange(late, Terms.timeBox(.seconds(60))), PerRange(early, Terms.timeBox(.seconds(1)))]
        let guest = try Guest(pages: 8, initially: .private, policy: AllOf(rules))
        for pages in [0..<4, 4..<8] {
            try guest.convert(pages, to: .shared)
            #expect(guest.executor.clock.timerCount == 1)
        }
        guest.executor.pass(.seconds(1))
        #expect(guest.controller.tally.shared == 4 && guest.boxes == 1 && guest.executor.clock.timerCount == 1)
        guest.executor.pass(.seconds(58))
        #expect(guest.controller.tally.shared == 4)
        guest.executor.pass(.seconds(1))
        #expect(guest.controller.tally.shared == 0 && guest.boxes == 0 && guest.executor.clock.timerCount == 0)
    }

    /// What somebody maps for long is asked for again and again, and has one entry.
    @Test(arguments: [size, 16 * size])
    func whatIsAskedForAgainHasOneEntry(count: Int) throws {
        let guest = try Guest(pages: 4, initially: .private, policy: boxed(.milliseconds(1)))
        try guest.convert(0..<1, to: .shared)
        let mapping = try guest.lease(0..<1, .mapping)
        guest.executor.pass(.milliseconds(count))
        #expect(guest.boxes == 1 && guest.executor.clock.timerCount == 1)
        #expect(guest.controller.state.withLock { $0.timeBoxes.height } == 1, "levels of the tree of pages")
        mapping.release()
        guest.executor.pass(.milliseconds(1 + count / 16))
        #expect(guest.boxes == 0 && guest.controller.tally.private == 4)
    }

    /// The shortest box beside the longest mapping is few requests, each later than the one before it.
    @Test func whatIsHeldForLongIsAskedForSeldom() throws {
        let guest = try Guest(pages: 4, initially: .private, policy: boxed(.milliseconds(1)))
        try guest.convert(0..<1, to: .shared)
        let mapping = try guest.lease(0..<1, .mapping)
        let before = guest.executor.submissions
        guest.executor.pass(.seconds(36_000))
        // The waits make a geometric series: log(36,000,000 / 16 + 1) / log(17 / 16) of them.
        #expect((200...242).contains(guest.executor.submissions - before))
        mapping.release()
        guest.executor.pass(.seconds(36_000 / 16 + 1))
        #expect(guest.boxes == 0 && guest.controller.tally.private == 4, "it comes back soon, as such times go")
    }

    /// A time that is over at the end of time is not over again and again.
    @Test func aBoxThatNeverEndsIsNone() throws {
        let guest = try Guest(pages: 4, initially: .private, policy: boxed(.seconds(Int64.max)))
        try guest.convert(0..<4, to: .shared)
        #expect(guest.boxes == 0 && guest.executor.clock.timerCount == 0)
        let other = try Guest(pages: 4, initially: .private, policy: boxed(.seconds(1)))
        try other.convert(0..<4, to: .shared)
        let lease = try other.lease(0..<1, .mapping)
        other.executor.clock.charge(.seconds(Int64.max))
        other.executor.clock.charge(.seconds(Int64.max))
        other.executor.drain()
        #expect(other.executor.now == .never && other.executor.clock.timerCount == 0)
        #expect(other.controller.tally.shared == 4, "asked once, in vain, and not again: there is no later")
        lease.release()
    }

    // MARK: Drains

    /// However often pages are asked for, there is one call for each lease that has not begun.
    @Test(arguments: [size, 16 * size])
    func retriesDoNotQueueCalls(count: Int) throws {
        let guest = try Guest(pages: 16)
        let calls = Locked<[DrainRequest]>([])
        let range = try PageRange(pages: 0..<8)
        let lease = try guest.controller.lease(range, .mapping, for: Holder(device: "gpu")) { request in
            calls.withLock { $0.append(request) }
        }
        let beside = try PageRange(pages: 8..<9)
        let other = try guest.controller.lease(beside, .mapping, for: Holder(device: "nic")) { request in
            calls.withLock { $0.append(request) }
        }
        let before = guest.executor.submissions
        for number in 0..<count {
            #expect(try guest.convert((number % 6)..<10, to: .private).blockers?.count == 2)
        }
        #expect(guest.executor.submissions == before + 2 && guest.executor.clock.workCount == 2)
        #expect(guest.controller.state.withLock { $0.drains.waiting } == 2)
        guest.executor.drain()
        let asked = calls.withLock { $0 }
        #expect(asked.map(\.range) == [range, try PageRange(pages: 8..<9)], "all that is wanted, in one request")
        try guest.convert(0..<10, to: .private)
        guest.executor.drain()
        #expect(calls.withLock { $0.count } == 4, "whoever holds on is asked again when it is wanted again")
        lease.release()
        other.release()
    }

    /// Who has let go before it was its turn is not asked.
    @Test func whoLetsGoInTimeIsNotAsked() throws {
        let guest = try Guest(pages: 16)
        let calls = Locked(0)
        let range = try PageRange(pages: 0..<8)
        let lease = try guest.controller.lease(range, .pin, for: Holder(device: "gpu")) { _ in
            calls.withLock { $0 += 1 }
        }
        let ticket = try guest.convert(0..<8, to: .private).ticket
        lease.release()
        guest.executor.drain()
        #expect(calls.withLock { $0 } == 0 && ticket?.result?.word == "completed")
    }

    // MARK: Offers

    @Test(arguments: [size, 16 * size])
    func offersOfTheSamePagesAreOne(count: Int) throws {
        let guest = try Guest(pages: 16)
        guest.backend.plan { $0.commit[1] = .pend }
        _ = try guest.convert(0..<4, to: .private)
        for _ in 0..<count { guest.controller.guestOffers(try PageRange(pages: 0..<4)) }
        #expect(guest.executor.clock.timerCount == 1)
        #expect(guest.controller.state.withLock { $0.offers.count } == 1)
        guest.executor.pass(.seconds(3))
        guest.backend.complete(try #require(guest.backend.waiting.first))
        guest.executor.pass(.seconds(2))
        #expect(guest.controller.tally.host == 4 && guest.executor.clock.timerCount == 0)
        #expect(guest.controller.state.withLock { $0.offers.count } == 0)
    }

    // MARK: Limits

    /// As many as the limit says are pending, and not one more, whoever asks and whoever is waited for.
    @Test(arguments: [1, 2, 5])
    func theNumberOfPendingOnesInTotalIsLimited(limit: Int) throws {
        let guest = try Guest(pages: 16, limits: ControllerLimits(pendingInTotal: limit))
        let lease = try guest.lease(0..<12)
        var tickets: [Ticket] = []
        for page in 0..<limit {
            tickets.append(try #require(try guest.convert(page..<(page + 1), to: .private).ticket))
        }
        func refusal(_ pages: Range<Int>) throws -> ConversionError.Code? {
            do {
                _ = try guest.convert(pages, to: .private)
                return nil
            } catch let error as ConversionError { return error.code }
        }
        #expect(try refusal(limit..<(limit + 1)) == .tooManyPending)
        guest.backend.plan { $0.commit[1] = .pend }
        #expect(try refusal(12..<13) == .tooManyPending, "nor through the back end")
        #expect(guest.controller.pendingTickets.count == limit && guest.backend.openChanges.isEmpty)
        tickets.removeLast().cancel()
        #expect(try guest.convert(limit..<(limit + 1), to: .private).ticket != nil, "one has ended, one may begin")
        #expect(try refusal((limit + 1)..<(limit + 2)) == .tooManyPending)
        lease.release()
        guest.executor.drain()
        #expect(guest.controller.pendingTickets.isEmpty)
    }
}

/// What an observer is told of by another thread.
@Suite struct EventRelayTests {
    /// No thread tells of an earlier time than before: not of what waits, and not of what comes after it.
    @Test func timeDoesNotRunBackwards() {
        let clock = VirtualExecutor()
        let log = EventLog()
        let relay = EventRelay(log, clock)
        func event(_ sequence: UInt64, _ time: UInt64) -> ControllerEvent {
            ControllerEvent(sequence: sequence, time: Timestamp(rawValue: time), kind: .marked("\(sequence)"))
        }
        relay.post(event(1, 5))
        relay.post(event(2, 20))
        #expect(log.events.isEmpty && relay.count == 2 && clock.workCount == 1, "not on the caller's stack")
        relay.tell(event(3, 10))
        #expect(log.events.map(\.sequence) == [1, 3] && log.events.map(\.time.rawValue) == [10, 10])
        clock.charge(.nanoseconds(30))
        clock.drain()
        #expect(log.events.map(\.sequence) == [1, 3, 2] && log.events.last?.time.rawValue == 30)
        #expect(relay.count == 0)
        relay.post(event(4, 31))
        #expect(clock.workCount == 1, "it is handed over again")
        clock.drain()
        #expect(log.events.last?.sequence == 4)
    }
}

/// How long holders delay hand-overs, against the same in a list.
@Suite struct HolderTimesTests {
    @Test func itIsAList() throws {
        var random = SplitMix64(seed: 7)
        func next(_ bound: UInt64) -> UInt64 { random.next(upperBound: bound) }
        var times = HolderTimes()
        var list: [(ticket: TicketID, holder: Holder, range: PageRange, since: Timestamp)] = []
        for step in 0..<4000 {
            let now = Timestamp(rawValue: UInt64(step))
            let ticket = TicketID(rawValue: next(40))
            let start = next(30)
            let range = try PageRange(pages: start..<(start + 1 + next(6)))
            let holder = Holder(device: "d\(next(3))")
            var ended: [HolderTimes.Wait] = []
            var isEnded: ((TicketID, Holder, PageRange) -> Bool)?
            switch next(3) {
            case 0:
                let blockers = try (0..<next(4)).map { number in
                    Blocker(
                        holder: Holder(device: "d\(number)"),
                        range: try PageRange(pages: (start + number)..<(start + number + 1 + next(3))),
                        kind: .pin,
                        since: now
                    )
                }
                times.begin(ticket, waitingFor: blockers, since: now)
                guard !list.contains(where: { $0.ticket == ticket }) else { continue }
                list += blockers.map { (ticket, $0.holder, $0.range, now) }
            case 1:
                ended = times.release(range, by: holder, at: now)
                isEnded = { $1 == holder && range.contains($2) }
            default:
                ended = times.end(ticket, at: now)
                isEnded = { other, _, _ in other == ticket }
            }
            guard let isEnded else { continue }
            let expected = list.filter { isEnded($0.ticket, $0.holder, $0.range) }.map {
                HolderTimes.Wait(holder: $0.holder, ticket: $0.ticket, duration: now.since($0.since))
            }
            list.removeAll { isEnded($0.ticket, $0.holder, $0.range) }
            #expect(ended == expected, "step \(step)")
        }
    }
}
