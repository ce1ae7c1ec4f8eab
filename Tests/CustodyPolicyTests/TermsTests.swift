import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// What a decision brings with it: ranges that are cut, times, deadlines, boxes.
@Suite struct TermsTests {
    private struct Clamping: Policy {
        let range: PageRange
        func decide(
            _ request: ConversionRequest,
            in view: PolicyView,
            remembering memory: inout PolicyMemory
        ) -> PolicyDecision { .clamp(to: range, PolicyReason(rule: "test", "no more")) }
    }

    private func allowing(_ terms: PolicyTerms) -> FixedPolicy {
        FixedPolicy(decision: .allow(terms, PolicyReason(rule: "test", "on terms")))
    }

    @Test func aClampedRequestGetsAPrefix() throws {
        let fixture = try ControllerFixture(policy: Clamping(range: PageRange(pages: 0..<8)))
        let prefix = ConversionRequest.Extent.prefix(maximumRuns: 100)
        let outcome = try fixture.convert(4..<12, to: .private, extent: prefix)
        #expect(outcome.isDeferred && outcome.stoppedAt == PageNumber(8) && outcome.changedPages == 4)
        #expect(try fixture.convert(4..<8, to: .private, extent: prefix).isCompleted)
        let rest = try fixture.convert(8..<12, to: .private, extent: prefix)
        #expect(rest.isDeferred && rest.stoppedAt == PageNumber(8) && rest.changedPages == 0)
        let all = try fixture.convert(0..<12, to: .private)
        #expect(all.isDeferred && all.changedPages == 0, "all or nothing is nothing")
        #expect(try fixture.convert(0..<8, to: .private).isCompleted)
        #expect(try fixture.convert(0..<8, to: .private, extent: prefix).isCompleted)
        let request = GuestRequest(processor: 0, address: 0, byteCount: 12 * 4096, target: .host)
        #expect(fixture.controller.handle(request) == .retry(from: GuestPhysicalAddress(8 * 4096)))
        #expect(fixture.isQuiet)
    }

    /// What may be done begins further on: nothing is, as what is done is a prefix.
    @Test func aRequestThatIsClampedToItsMiddleGetsNothing() throws {
        let fixture = try ControllerFixture(policy: Clamping(range: PageRange(pages: 6..<8)))
        for extent in [ConversionRequest.Extent.all, .prefix(maximumRuns: 100)] {
            let outcome = try fixture.convert(4..<12, to: .private, extent: extent)
            #expect(outcome.isDeferred && outcome.stoppedAt == PageNumber(4) && outcome.changedPages == 0)
        }
        #expect(fixture.map.allSatisfy { $0 == "S" } && fixture.backend.calls.isEmpty)
    }

    @Test func aTimeIsPassedOn() throws {
        let time = Timestamp(rawValue: 5_000_000)
        let decision = PolicyDecision.defer(until: time, PolicyReason(rule: "test", "wait"))
        let fixture = try ControllerFixture(policy: FixedPolicy(decision: decision))
        guard case .deferred(let until, let reason) = try fixture.convert(0..<1, to: .private).status else {
            Issue.record("not put off")
            return
        }
        #expect(until == time && reason == "wait")
    }

    /// A time box is about what becomes shared: any other request is allowed without terms and without a rule.
    @Test(arguments: Ownership.allCases)
    func aTimeBoxIsAboutSharing(target: Ownership) throws {
        let fixture = try ControllerFixture(
            initially: target == .shared ? .private : .shared,
            policy: Terms.timeBox(.seconds(1))
        )
        guard target != .inTransit else { return }
        try fixture.convert(0..<1, to: target)
        let decision = try #require(fixture.events.decisions.first)
        #expect((decision.terms.returnsAfter != nil) == (target == .shared))
        #expect((decision.reason != nil) == (target == .shared))
    }

    @Test(arguments: [nil, 3 as Int?, 1])
    func theTighterDeadlineCounts(own: Int?) throws {
        let fixture = try ControllerFixture(policy: allowing(PolicyTerms(deadline: .seconds(2))))
        let pending = try fixture.pending(0..<4, pinned: 0..<1, deadline: own.map { .seconds($0) })
        #expect(pending.ticket.deadline == Timestamp.zero.advanced(by: .seconds(min(own ?? 2, 2))))
        fixture.clock.pass(.seconds(2))
        #expect(pending.ticket.result?.word == "expired")
        #expect(fixture.isQuiet)
    }

    /// A back end that is in the way and cannot say until when is asked again, less and less often, and not for ever.
    @Test func retriesBackOffAndEnd() throws {
        let retry = Backoff(first: .milliseconds(10), longest: .milliseconds(40), attempts: 5)
        let fixture = try ControllerFixture(policy: allowing(PolicyTerms(retry: retry)))
        let blocker = Blocker(
            holder: Holder(device: "vfio"),
            range: try PageRange(pages: 0..<1),
            kind: .pin,
            since: .zero
        )
        fixture.backend.plan { plan in for number in 1...20 { plan.commit[number] = .block([blocker]) } }
        var pending = try fixture.pending(0..<4, pinned: 0..<1)
        pending.release()
        fixture.clock.drain()
        var attempts = [pending.ticket.attempts]
        for _ in 0..<13 {
            fixture.clock.pass(.milliseconds(10))
            attempts.append(pending.ticket.attempts)
        }
        #expect(attempts == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5], "after 10, 20, 40 and 40 ms")
        #expect(pending.ticket.result?.word == "failed")
        #expect(fixture.isQuiet && fixture.map.allSatisfy { $0 == "S" })
    }

    /// Each one is tried again at its own time.
    @Test func aRetryIsOfOneHandOver() throws {
        let retry = Backoff(first: .milliseconds(10), longest: .milliseconds(40), attempts: 10)
        let fixture = try ControllerFixture(policy: allowing(PolicyTerms(retry: retry)))
        fixture.backend.plan { plan in for number in 1...40 { plan.commit[number] = .block([]) } }
        var first = try fixture.pending(0..<4, pinned: 0..<1)
        var second = try fixture.pending(8..<12, pinned: 8..<9)
        first.release()
        fixture.clock.pass(.milliseconds(15))
        #expect(first.ticket.attempts == 2 && second.ticket.attempts == 0, "after 10 ms")
        second.release()
        fixture.clock.pass(.milliseconds(10))
        #expect(first.ticket.attempts == 2 && second.ticket.attempts == 2, "after 25 ms, the second one alone")
        fixture.clock.pass(.milliseconds(5))
        #expect(first.ticket.attempts == 3 && second.ticket.attempts == 2, "after 30 ms, the first one alone")
        #expect(first.ticket.cancel() && second.ticket.cancel() && fixture.isQuiet)
    }

    @Test func backoff() {
        let backoff = Backoff(first: .milliseconds(3), longest: .seconds(1), attempts: 100)
        #expect(backoff.wait(afterAttempts: 1) == .milliseconds(3))
        #expect(backoff.wait(afterAttempts: 3) == .milliseconds(12))
        #expect(backoff.wait(afterAttempts: 99) == .seconds(1))
        #expect(backoff.wait(afterAttempts: 100) == nil)
        #expect(Backoff(first: .zero, longest: .zero, attempts: -3).wait(afterAttempts: 0) == .milliseconds(1))
        #expect(Backoff.standard.wait(afterAttempts: .max - 1) == .milliseconds(100))
    }

    @Test func sharedPagesReturnWhenTheirTimeIsOver() throws {
        let fixture = try ControllerFixture(
            initially: .private,
            policy: allowing(PolicyTerms(returnsAfter: .seconds(10)))
        )
        try fixture.convert(0..<8, to: .shared)
        fixture.clock.pass(.seconds(5))
        try fixture.convert(4..<6, to: .private)
        try fixture.convert(4..<6, to: .shared)
        try fixture.convert(20..<24, to: .shared)
        fixture.clock.pass(.seconds(5))
        #expect(fixture.map.prefix(24) == "PPPPSSPPPPPPPPPPPPPPSSSS", "what was shared anew has time left")
        fixture.clock.pass(.seconds(5))
        #expect(!fixture.map.contains("S") && fixture.isQuiet)
    }

    /// What is pinned when its time is over follows when it is released; what was taken back meanwhile is asked for again.
    @Test func aPinnedPageReturnsLater() throws {
        let fixture = try ControllerFixture(
            initially: .private,
            policy: allowing(PolicyTerms(returnsAfter: .seconds(1)))
        )
        try fixture.convert(0..<4, to: .shared)
        let lease = try fixture.lease(2..<3)
        fixture.clock.pass(.seconds(1))
        #expect(fixture.map.prefix(4) == "----")
        #expect(try fixture.convert(0..<4, to: .shared).isCompleted, "the guest takes it back")
        #expect(fixture.map.prefix(4) == "SSSS")
        fixture.clock.pass(.seconds(1))
        #expect(fixture.map.prefix(4) == "----", "and it is asked for again")
        lease.release()
        fixture.clock.drain()
        #expect(!fixture.map.contains("S") && fixture.isQuiet)
        let count = fixture.events.events.count
        fixture.clock.pass(.seconds(60))
        #expect(fixture.events.events.count == count, "no timer is left that does anything")
    }

    @Test func aPageInTransitDoesNotKeepItsNeighboursShared() throws {
        let fixture = try ControllerFixture(
            initially: .private,
            policy: allowing(PolicyTerms(returnsAfter: .seconds(1)))
        )
        try fixture.convert(0..<4, to: .shared)
        let lease = try fixture.lease(0..<1)
        fixture.clock.pass(.milliseconds(500))
        #expect(try fixture.convert(0..<2, to: .private).ticket != nil)
        fixture.clock.pass(.milliseconds(500))
        #expect(fixture.map.prefix(4) == "--PP")
        lease.release()
        fixture.clock.drain()
        #expect(!fixture.map.contains("S") && fixture.isQuiet)
    }

    @Test func guestsShareAPool() throws {
        let pool = SharedPool(pages: 10)
        func guest(_ initially: Ownership) throws -> (MemoryController, FakeBackend) {
            let backend = FakeBackend(
                try GuestMemoryLayout(pages: 0..<16),
                initially: initially,
                executor: VirtualExecutor()
            )
            return (MemoryController(backend: backend, policy: AllowAll(), pool: pool), backend)
        }
        func convert(_ controller: MemoryController, _ pages: Range<UInt64>, _ target: Ownership) throws -> String {
            try controller.convert(ConversionRequest(PageRange(pages: pages), to: target, by: .host("vmm"))).status.word
        }
        let (first, backend) = try guest(.private)
        do {
            let (second, _) = try guest(.private)
            #expect(try convert(first, 0..<6, .shared) == "completed")
            #expect(try convert(second, 0..<5, .shared) == "deferred")
            #expect(try convert(second, 0..<4, .shared) == "completed")
            #expect(pool.usedPages == 10)
            #expect(try convert(first, 6..<7, .shared) == "deferred")
            #expect(try convert(second, 0..<1, .private) == "completed")
            backend.plan { $0.commit[2] = .fail(BackendError(.system, "EIO")) }
            #expect(throws: ConversionError.self) { try convert(first, 6..<7, .shared) }
            #expect(pool.usedPages == 9, "what failed is given back")
            #expect(try convert(first, 6..<7, .shared) == "completed")
        }
        #expect(pool.usedPages == 7, "a guest that is gone has given back what it had")
        let (third, _) = try guest(.shared)
        #expect(pool.usedPages == 23, "what a guest begins with is charged")
        #expect(try convert(first, 7..<8, .shared) == "deferred")
        #expect(try convert(third, 0..<16, .private) == "completed")
        #expect(pool.usedPages == 7)
        #expect(try convert(first, 7..<8, .shared) == "completed")
    }

    /// All at once and part by part: the last decision that is told of is the pool's, not the permission before it.
    @Test(arguments: [
        ConversionRequest.Extent.all, .prefix(maximumRuns: 8, maximumPages: 64),
    ])
    func aPoolThatIsUsedUpIsADecisionWithItsRule(extent: ConversionRequest.Extent) throws {
        let log = EventLog()
        let backend = FakeBackend(
            try GuestMemoryLayout(pages: 0..<16),
            initially: .private,
            executor: VirtualExecutor()
        )
        let controller = MemoryController(
            backend: backend,
            policy: AllowAll(),
            pool: SharedPool(pages: 3),
            observer: log
        )
        let request = ConversionRequest(
            try PageRange(pages: 0..<4),
            to: .shared,
            by: .guest(processor: 0),
            extent: extent
        )
        #expect(try controller.convert(request).status.word == "deferred")
        let reason = PolicyReason(rule: "shared-pool", "the guests together may not share 4 more pages")
        #expect(log.decisions.last == .defer(reason))
        #expect(log.decisions.count == (extent == .all ? 1 : 2))
    }

    @Test func aMarkIsRemembered() throws {
        struct LockedDown: Policy {
            func decide(
                _ request: ConversionRequest,
                in view: PolicyView,
                remembering memory: inout PolicyMemory
            ) -> PolicyDecision {
                memory["launched"].map { $0 <= view.now } == true
                    ? .deny(PolicyReason(rule: "test", "launched")) : .allow
            }
        }
        let fixture = try ControllerFixture(policy: LockedDown())
        #expect(try fixture.refusal(0..<1, to: .private) == nil)
        fixture.controller.mark("launched")
        #expect(try fixture.refusal(1..<2, to: .private) == .denied)
    }
}

extension ConversionOutcome.Status {
    fileprivate var word: String {
        switch self {
        case .completed: "completed"
        case .blocked: "blocked"
        case .pending: "pending"
        case .deferred: "deferred"
        case .stopped: "stopped"
        }
    }
}
