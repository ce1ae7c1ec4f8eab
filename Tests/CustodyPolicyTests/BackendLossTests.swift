import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// The guest, or what runs it, goes away.
@Suite struct BackendLossTests {
    private let lost = BackendError(.lost, "the domain is gone")

    @Test func everyPendingHandOverEndsOnceAndNothingSucceedsAfter() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let held = try #require(try fixture.convert(8..<12, to: .private).ticket)
        var draining = try fixture.pending(0..<4, pinned: 0..<1)
        fixture.backend.lose(lost)
        fixture.backend.lose(lost)
        #expect(held.result?.word == "failed" && draining.ticket.result?.word == "failed")
        draining.release()
        fixture.clock.pass(.seconds(1))
        #expect(fixture.events.settlements.count == 2)
        #expect(fixture.events.words.filter { $0 == "back" }.count == 1)
        #expect(try fixture.refusal(20..<24, to: .private) == .backend)
        #expect(
            fixture.controller.handle(GuestRequest(processor: 0, address: 0, byteCount: 4096, target: .private))
                == .refused
        )
        #expect(fixture.controller.pendingTickets.isEmpty)
        #expect(fixture.accessError(30..<31)?.description == "the domain is gone")
    }

    @Test(arguments: ["prepare", "commit"])
    func aCallThatFailsWithLostLosesTheBackend(kind: String) throws {
        let fixture = try ControllerFixture()
        let pending = try fixture.pending(8..<12, pinned: 8..<9)
        fixture.backend.plan {
            if kind == "prepare" { $0.prepare[1] = lost } else { $0.commit[1] = .fail(lost) }
        }
        #expect(try fixture.refusal(0..<4, to: .private) == .backend)
        #expect(pending.ticket.result?.word == "failed")
        fixture.backend.forgetCalls()
        #expect(try fixture.refusal(20..<24, to: .private) == .backend)
        #expect(fixture.backend.calls.isEmpty, "it is not asked again")
    }

    /// The loss is reported while a commit, or a withdrawal, is on its way.
    @Test(arguments: ["commit", "withdraw"])
    func aHandOverThatIsWorkedOnDuringTheLossEnds(kind: String) throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan {
            $0.commit[1] = .pend
            $0.withdrawSucceeds = false
        }
        fixture.backend.atEachCall { [weak fixture] call in
            switch call {
            case .commit where kind == "commit", .withdraw where kind == "withdraw": fixture?.backend.lose(lost)
            default: break
            }
        }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        #expect(kind == "commit" || !ticket.cancel())
        #expect(ticket.result?.word == "failed")
        #expect(fixture.controller.pendingTickets.isEmpty)
        #expect(fixture.events.settlements.count == 1)
    }

    /// One that is being carried out ends when whoever does that comes to know it, and once.
    @Test(arguments: ["prepare", "commit", "finish"])
    func aHandOverThatIsCarriedOutDuringTheLossEndsOnce(verb: String) throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<4, pinned: 0..<1)
        fixture.backend.atEachCall { [weak backend = fixture.backend] call in
            if call.description.hasPrefix(verb) { backend?.lose(lost) }
        }
        pending.release()
        fixture.clock.drain()
        #expect(pending.ticket.result?.word == "completed", "the back end did it all the same")
        #expect(fixture.events.settlements.count == 1 && fixture.controller.pendingTickets.isEmpty)
        #expect(fixture.controller.snapshot().inconsistency == nil)
    }

    /// A back end that is lost is not back, whatever it says.
    @Test func nothingIsFoundAfterALoss() throws {
        let fixture = try ControllerFixture()
        fixture.backend.lose(lost)
        fixture.backend.changeBehindTheBack(try PageRange(pages: 0..<4), to: .private)
        fixture.backend.reconnect()
        #expect(fixture.map.allSatisfy { $0 == "S" })
        #expect(try fixture.refusal(8..<12, to: .private) == .backend)
    }

    /// Pages whose time is over are not asked for any more.
    @Test func timeBoxesEndWithTheBackEnd() throws {
        let fixture = try ControllerFixture(initially: .private, policy: Terms.timeBox(.seconds(1)))
        try fixture.convert(0..<4, to: .shared)
        fixture.backend.lose(lost)
        fixture.clock.pass(.seconds(1))
        let told = fixture.events.events.count
        fixture.clock.pass(.seconds(60))
        #expect(fixture.clock.timerCount == 0 && fixture.events.events.count == told)
    }

    /// Whatever code it fails with; what was committed before it is taken back all the same, not made final.
    @Test func anUndoThatFailsDoesNotKeepTheOthers() throws {
        let fixture = try ControllerFixture(pages: 0..<12)
        for start in [2, 6] as [UInt64] { try fixture.convert(start..<(start + 2), to: .private) }
        fixture.backend.plan {
            $0.commit[5] = .fail(BackendError(.system, "EIO"))
            $0.undo[1] = BackendError(.system, "ENOMEM")
        }
        fixture.backend.forgetCalls()
        #expect(try fixture.refusal(0..<12, to: .private) == .backend)
        #expect(fixture.backend.calls.filter { if case .undo = $0 { true } else { false } }.count == 2)
        #expect(!fixture.backend.calls.contains { if case .finish = $0 { true } else { false } })
        #expect(fixture.events.words.contains("back"), "its state is not known any more")
    }

    @Test func anUndoThatFailsLosesTheBackend() throws {
        let fixture = try ControllerFixture(pages: 0..<8)
        try fixture.convert(2..<4, to: .private)
        fixture.backend.plan {
            $0.commit[3] = .fail(BackendError(.system, "EIO"))
            $0.undo[1] = lost
        }
        #expect(try fixture.refusal(0..<8, to: .private) == .backend)
        #expect(fixture.events.words.contains("back"), "its state is not known any more")
        #expect(try fixture.refusal(0..<8, to: .private) == .backend)
    }
}
