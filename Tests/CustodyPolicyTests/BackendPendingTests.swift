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

    @Test func whatIsOfferedWhileSomebodyIsAtItIsTakenLater() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        fixture.controller.guestOffers(try PageRange(pages: 0..<4))
        fixture.clock.pass(.seconds(3))
        #expect(fixture.map.hasPrefix("----S"))
        fixture.backend.complete(try #require(fixture.backend.waiting.first))
        #expect(ticket.result?.word == "completed")
        fixture.clock.pass(.seconds(1))
        #expect(fixture.map.hasPrefix("HHHHS"))
        #expect(fixture.isQuiet)
    }
}
