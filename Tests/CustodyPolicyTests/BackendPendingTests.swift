import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Hand-overs that the back end completes by itself.
@Suite struct BackendPendingTests {
    @Test func completionAfterTheCommitReturns() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        #expect(fixture.map.hasPrefix("----S") && ticket.result == nil)
        fixture.backend.complete(try #require(fixture.backend.waiting.first))
        #expect(ticket.result?.word == "completed")
        #expect(fixture.map.hasPrefix("PPPPS"))
        #expect(fixture.events.settlements.count == 1)
        #expect(fixture.isQuiet)
    }

    @Test func completionBeforeTheCommitReturns() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pendAndComplete }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        #expect(ticket.result?.word == "completed")
        #expect(fixture.events.settlements.count == 1)
        #expect(fixture.isQuiet)
    }

    /// From the report on it is carried out, whichever came first: it is not asked to be withdrawn.
    @Test(arguments: [true, false])
    func whatIsReportedIsNotWithdrawn(isEarly: Bool) throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = isEarly ? .pendAndComplete : .pend }
        let answers = Locked<[Bool?]>([])
        fixture.backend.atEachCall { [weak fixture] call in
            guard case .finish = call else { return }
            let isCancelled = fixture?.controller.pendingTickets.first?.cancel()
            answers.withLock { $0.append(isCancelled) }
        }
        try fixture.convert(0..<4, to: .private)
        if let waiting = fixture.backend.waiting.first { fixture.backend.complete(waiting) }
        #expect(answers.withLock { $0 } == [false])
        #expect(!fixture.backend.calls.contains { if case .withdraw = $0 { true } else { false } })
        #expect(fixture.events.settlements.map(\.result.word) == ["completed"] && fixture.isQuiet)
    }

    @Test(arguments: [true, false])
    func everyRunMayBePending(isEarly: Bool) throws {
        let fixture = try ControllerFixture(pages: 0..<12)
        try fixture.convert(2..<4, to: .host)
        try fixture.convert(6..<8, to: .host)
        let answer: FakeBackend.Answer = isEarly ? .pendAndComplete : .pend
        fixture.backend.plan { plan in for number in 3...10 { plan.commit[number] = answer } }
        let ticket = try #require(try fixture.convert(0..<12, to: .private).ticket)
        var rounds = 0
        while let next = fixture.backend.waiting.first {
            rounds += 1
            #expect(ticket.result == nil)
            fixture.backend.complete(next)
        }
        #expect(rounds == (isEarly ? 0 : 5))
        #expect(ticket.result?.word == "completed")
        #expect(fixture.map == "PPPPPPPPPPPP")
        #expect(fixture.isQuiet)
    }

    @Test func failureAfterTheCommitReturns() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        fixture.backend.fail(try #require(fixture.backend.waiting.first), BackendError(.guestFailed, "no answer"))
        #expect(ticket.result?.word == "failed")
        #expect(fixture.map.allSatisfy { $0 == "S" })
        #expect(fixture.isQuiet)
    }

    @Test func failureBeforeTheCommitReturns() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pendAndFail(BackendError(.guestFailed, "no answer")) }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        #expect(ticket.result?.word == "failed")
        #expect(fixture.map.allSatisfy { $0 == "S" })
        #expect(fixture.events.settlements.count == 1)
        #expect(fixture.isQuiet)
    }

    @Test func aFailureDuringTheWithdrawal() throws {
        let fixture = try ControllerFixture()
        let backend = fixture.backend
        backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        backend.atEachCall { [weak backend] call in
            if case .withdraw(let handover) = call { backend?.fail(handover, BackendError(.guestFailed, "no answer")) }
        }
        #expect(!ticket.cancel())
        #expect(ticket.result?.word == "failed")
        #expect(fixture.isQuiet)
    }

    @Test func aWithdrawalThatComesInTime() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        #expect(ticket.cancel())
        #expect(ticket.result?.word == "cancelled")
        #expect(fixture.isQuiet)
    }

    /// The back end says that it is done already: then it is, and the completion is taken when it is reported.
    @Test func aWithdrawalThatComesTooLate() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan {
            $0.commit[1] = .pend
            $0.withdrawSucceeds = false
        }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        #expect(!ticket.cancel())
        #expect(ticket.result == nil)
        #expect(try fixture.refusal(0..<4, to: .shared) == .busy)
        fixture.backend.complete(try #require(fixture.backend.waiting.first))
        #expect(ticket.result?.word == "completed")
        #expect(fixture.isQuiet)
    }

    /// The completion is reported while the withdrawal is on its way.
    @Test func aCompletionDuringTheWithdrawal() throws {
        let fixture = try ControllerFixture()
        let backend = fixture.backend
        backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        backend.atEachCall { [weak backend] call in
            if case .withdraw(let handover) = call { backend?.complete(handover) }
        }
        #expect(!ticket.cancel())
        backend.atEachCall(nil)
        #expect(ticket.result?.word == "completed")
        #expect(fixture.events.settlements.count == 1)
        #expect(fixture.isQuiet)
    }

    /// While somebody ends a hand-over nobody else does, whatever the back end is doing for it at the moment.
    @Test(arguments: ["withdraw", "undo"])
    func oneEndAtATime(during verb: String) throws {
        let fixture = try ControllerFixture()
        try fixture.convert(2..<4, to: .private)
        fixture.backend.plan { $0.commit[3] = .pend }
        let ticket = try #require(try fixture.convert(0..<6, to: .host, by: .guest(processor: 0)).ticket)
        let answers = Locked<[Bool]>([])
        fixture.backend.atEachCall { [weak backend = fixture.backend] call in
            guard call.description.hasPrefix(verb) else { return }
            backend?.atEachCall(nil)
            let isCancelled = ticket.cancel()
            answers.withLock { $0.append(isCancelled) }
        }
        #expect(ticket.cancel())
        #expect(answers.withLock { $0 } == [false])
        #expect(fixture.events.settlements.map(\.result.word) == ["cancelled"])
        #expect(fixture.isQuiet && fixture.map.hasPrefix("SSPPSS"))
    }

    /// What a guest has been given and does not let go of again is shared, and the end says so.
    @Test(arguments: ["is cancelled", "expires", "fails"])
    func whatTheGuestKeepsIsShared(end: String) throws {
        let fixture = try ControllerFixture(pages: 0..<12, initially: .host)
        try fixture.convert(4..<6, to: .private)
        fixture.backend.plan {
            $0.commit[3] = .pend
            $0.undo[1] = BackendError(.refusedByGuest, "it keeps them")
        }
        let ticket = try #require(
            try fixture.convert(0..<12, to: .shared, whenHeld: .handOver(deadline: .seconds(1))).ticket
        )
        switch end {
        case "is cancelled": #expect(!ticket.cancel())
        case "expires": fixture.clock.pass(.seconds(1))
        default: fixture.backend.fail(try #require(fixture.backend.waiting.first), BackendError(.guestFailed, "no"))
        }
        #expect(fixture.map == "SSSSPPHHHHHH")
        if end == "fails" {
            #expect(ticket.result?.description.contains("no") == true)
        } else {
            #expect(ticket.result?.description == "failed: refused-by-guest, the guest keeps what it was given")
        }
        #expect(fixture.events.settlements.count == 1 && fixture.controller.snapshot().inconsistency == nil)
    }

    @Test func convertingBackWhatTheBackendHolds() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        #expect(try fixture.convert(0..<8, to: .shared).isCompleted)
        #expect(ticket.result?.word == "cancelled")
        #expect(fixture.isQuiet)
    }

    @Test func deadlineOfWhatTheBackendHolds() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let outcome = try fixture.convert(0..<4, to: .private, whenHeld: .handOver(deadline: .milliseconds(1)))
        fixture.clock.pass(.milliseconds(1))
        #expect(outcome.ticket?.result?.word == "expired")
        #expect(fixture.isQuiet)
    }

    /// Nobody may wait for it, and it has completed before it could be withdrawn: it is a hand-over all the same.
    @Test func whatCannotBeTakenBackIsWaitedFor() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan {
            $0.commit[1] = .pend
            $0.withdrawSucceeds = false
        }
        let outcome = try fixture.convert(0..<4, to: .private, whenHeld: .report)
        let ticket = try #require(outcome.ticket)
        #expect(fixture.map.hasPrefix("----S") && fixture.controller.pendingTickets.map(\.id) == [ticket.id])
        fixture.backend.complete(try #require(fixture.backend.waiting.first))
        #expect(ticket.result?.word == "completed")
        #expect(fixture.map.hasPrefix("PPPPS") && fixture.isQuiet)
    }

    /// The guest has had the pages again and offers them once more, while its first offer is being refused.
    @Test func whatIsOfferedAgainMeanwhileIsAskedForAgain() throws {
        let fixture = try ControllerFixture()
        let range = try PageRange(pages: 0..<4)
        fixture.backend.plan { $0.commit[1] = .fail(BackendError(.system, "EIO")) }
        fixture.backend.atEachCall { [weak fixture] call in
            guard case .commit = call, let fixture, fixture.backend.counts.commits == 0 else { return }
            fixture.controller.guestOffers(range)
        }
        fixture.controller.guestOffers(range)
        #expect(fixture.map.hasPrefix("HHHHS") && fixture.isQuiet)
        #expect(fixture.events.words.count { $0 == "requested" } == 2)
        fixture.clock.pass(.seconds(5))
        #expect(fixture.events.words.count { $0 == "requested" } == 2, "and then it is over")
    }

    /// A rule that says later, and not when, is asked again, too.
    @Test func whatIsOfferedAndPutOffIsTakenLater() throws {
        struct Later: Policy {
            func decide(
                _ request: ConversionRequest,
                in view: PolicyView,
                remembering memory: inout PolicyMemory
            ) -> PolicyDecision {
                memory["now"] == nil ? .defer(PolicyReason(rule: "test", "later")) : .allow
            }
        }
        let fixture = try ControllerFixture(policy: Later())
        fixture.controller.guestOffers(try PageRange(pages: 0..<4))
        fixture.clock.pass(.seconds(3))
        #expect(fixture.map.allSatisfy { $0 == "S" })
        fixture.controller.mark("now")
        fixture.clock.pass(.seconds(1))
        #expect(fixture.map.hasPrefix("HHHHS") && fixture.isQuiet)
        #expect(fixture.clock.timerCount == 0)
    }

    /// Nothing changes hands from within a call of a listener: what is offered there is asked for when that is over.
    @Test func whatIsOfferedFromWithinACallIsTakenLater() throws {
        let fixture = try ControllerFixture()
        let listener = RecordingListener(bounds: fixture.controller.layout.bounds)
        try fixture.controller.add(listener)
        let range = try PageRange(pages: 8..<12)
        listener.atEachCall { [weak fixture] call in
            guard case .prepare(let change) = call, change.range.start.rawValue == 0 else { return }
            fixture?.controller.guestOffers(range)
        }
        try fixture.convert(0..<4, to: .private)
        #expect(fixture.map.hasPrefix("PPPPSSSSSSSSS"))
        fixture.clock.pass(.seconds(1))
        #expect(fixture.map.hasPrefix("PPPPSSSSHHHHS") && fixture.isQuiet)
    }

    @Test func whatIsOfferedWhileSomebodyIsAtItIsTakenLater() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        fixture.controller.guestOffers(try PageRange(pages: 0..<4))
        fixture.clock.pass(.seconds(3))
        #expect(fixture.map.hasPrefix("----S"))
        let asked = fixture.events.words.count { $0 == "requested" }
        #expect((8...16).contains(asked), "after 1, 2, 4 and so on up to a thousand milliseconds")
        fixture.backend.complete(try #require(fixture.backend.waiting.first))
        #expect(ticket.result?.word == "completed")
        fixture.clock.pass(.seconds(1))
        #expect(fixture.map.hasPrefix("HHHHS"))
        #expect(fixture.isQuiet)
    }
}
