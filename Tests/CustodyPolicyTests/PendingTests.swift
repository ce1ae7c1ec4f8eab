import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Hand-overs that wait for leases.
@Suite struct PendingTests {
    @Test func completesOnceAfterTheLastRelease() throws {
        let fixture = try ControllerFixture()
        let first = try fixture.lease(0..<4)
        let second = try fixture.lease(3..<6, .access)
        let beside = try fixture.lease(8..<9)
        let outcome = try fixture.convert(0..<8, to: .private)
        let ticket = try #require(outcome.ticket)
        #expect(ticket.target == .private && ticket.deadline == nil)
        #expect(fixture.controller.pendingTickets.map(\.id) == [ticket.id])
        #expect(fixture.map.hasPrefix("--------S"))
        first.release()
        fixture.clock.pass(.seconds(100))
        #expect(ticket.result == nil && fixture.backend.calls.isEmpty, "not before the last one")
        second.release()
        #expect(fixture.backend.calls.isEmpty && ticket.result == nil, "not on the releaser's stack")
        fixture.clock.drain()
        #expect(ticket.result?.word == "completed")
        #expect(fixture.map.hasPrefix("PPPPPPPPS"))
        beside.release()
        fixture.clock.pass(.seconds(100))
        #expect(fixture.events.settlements.map(\.id) == [ticket.id], "exactly once")
        #expect(fixture.backend.calls.count == 3)
        #expect(fixture.isQuiet)
    }

    @Test func newUsersAreKeptAwayMeanwhile() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 2..<3)
        for kind in LeaseKind.allCases {
            let error = fixture.accessError(6..<12, kind)
            #expect(error?.description == "the page at 0x6000 is in transit (hand-over \(pending.ticket.id))")
        }
        try fixture.lease(8..<12).release()
        pending.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet)
    }

    @Test func cancelRestores() throws {
        let fixture = try ControllerFixture()
        try fixture.convert(2..<4, to: .host)
        let before = fixture.map
        var pending = try fixture.pending(0..<8, pinned: 0..<1)
        #expect(pending.ticket.cancel())
        #expect(pending.ticket.result?.word == "cancelled")
        #expect(fixture.map == before)
        #expect(!pending.ticket.cancel(), "once")
        fixture.backend.forgetCalls()
        pending.release()
        fixture.clock.pass(.seconds(1))
        #expect(fixture.backend.calls.isEmpty, "the release has nothing to do any more")
        #expect(fixture.events.settlements.count == 1)
        #expect(fixture.isQuiet)
    }

    @Test func cancelAfterTheEndDoesNothing() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 0..<1)
        pending.release()
        fixture.clock.drain()
        #expect(pending.ticket.result?.word == "completed")
        #expect(!pending.ticket.cancel())
        #expect(fixture.map.hasPrefix("PPPPPPPPS"))
        // Another one has taken its place meanwhile.
        var next = try fixture.pending(8..<12, pinned: 8..<9)
        #expect(!pending.ticket.cancel() && next.ticket.result == nil)
        next.release()
        fixture.clock.drain()
        #expect(next.ticket.result?.word == "completed" && fixture.isQuiet)
    }

    /// Nobody has begun to carry it out: it can be taken back as before the release.
    @Test func cancelBetweenTheLastReleaseAndTheExecutorRestores() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 0..<1)
        pending.release()
        #expect(pending.ticket.cancel())
        #expect(pending.ticket.result?.word == "cancelled")
        fixture.clock.drain()
        #expect(fixture.backend.calls.isEmpty && fixture.isQuiet)
        #expect(fixture.events.settlements.count == 1)
    }

    /// Somebody carries it out: it can be taken back no more.
    @Test(arguments: ["prepare", "commit", "finish"])
    func cancelWhileItIsCarriedOutDoesNothing(verb: String) throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 0..<1)
        let answers = Locked<[Bool]>([])
        fixture.backend.atEachCall { [ticket = pending.ticket] call in
            guard call.description.hasPrefix(verb) else { return }
            let isCancelled = ticket.cancel()
            answers.withLock { $0.append(isCancelled) }
        }
        pending.release()
        fixture.clock.drain()
        #expect(answers.withLock { $0 } == [false])
        #expect(pending.ticket.result?.word == "completed" && fixture.map.hasPrefix("PPPPPPPPS"))
        #expect(fixture.events.settlements.count == 1 && fixture.isQuiet)
    }

    @Test func deadlineRestores() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 0..<1, deadline: .milliseconds(5))
        fixture.clock.pass(.microseconds(4999))
        #expect(pending.ticket.result == nil)
        fixture.clock.pass(.microseconds(1))
        #expect(pending.ticket.result?.word == "expired")
        #expect(!fixture.map.contains("-"))
        pending.release()
        fixture.clock.pass(.seconds(1))
        #expect(fixture.isQuiet && fixture.backend.calls.isEmpty)
        #expect(fixture.events.settlements.count == 1)
    }

    @Test func deadlineAfterTheEndDoesNothing() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 0..<1, deadline: .milliseconds(5))
        pending.release()
        fixture.clock.pass(.seconds(1))
        #expect(pending.ticket.result?.word == "completed")
        #expect(fixture.events.settlements.count == 1)
    }

    @Test func convertingBackWithdraws() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 0..<1)
        #expect(try fixture.convert(0..<8, to: .shared).isCompleted)
        #expect(pending.ticket.result?.word == "cancelled")
        #expect(fixture.map.allSatisfy { $0 == "S" })
        try fixture.lease(4..<5, .access).release()
        pending.release()
        fixture.clock.drain()
        #expect(fixture.backend.calls.isEmpty)
        #expect(fixture.isQuiet)
    }

    /// What is withdrawn for a request is a part of it: it is decided upon once.
    @Test func convertingMoreThanThatBackIsOneRequest() throws {
        let fixture = try ControllerFixture()
        try fixture.convert(8..<12, to: .private)
        var pending = try fixture.pending(0..<8, pinned: 0..<1)
        let asked = fixture.policy.asked
        #expect(try fixture.convert(0..<12, to: .shared).changedPages == 4)
        #expect(pending.ticket.result?.word == "cancelled" && fixture.policy.asked == asked + 1)
        pending.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet && fixture.map.allSatisfy { $0 == "S" })
    }

    @Test func askingForTheSameAgainJoins() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 3..<4)
        let again = try fixture.convert(0..<8, to: .private)
        #expect(again.ticket === pending.ticket)
        #expect(try fixture.convert(4..<8, to: .private).ticket === pending.ticket, "a part of it as well")
        #expect(fixture.controller.pendingTickets.count == 1)
        pending.release()
        fixture.clock.drain()
        #expect(fixture.backend.calls.count == 3)
        #expect(fixture.isQuiet)
    }

    @Test func whoJoinsIsSentToItsOwnPages() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 3..<4)
        #expect(try fixture.convert(4..<6, to: .private).stoppedAt == PageNumber(4))
        let ask = GuestRequest(processor: 0, address: 5 * 4096, byteCount: 4096, target: .private)
        #expect(fixture.controller.handle(ask) == .retry(from: GuestPhysicalAddress(5 * 4096)))
        pending.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet)
    }

    /// Its changes lie side by side, and in transit they look like one run.
    @Test func aHandOverOfMixedPagesIsJoinedAsWell() throws {
        let fixture = try ControllerFixture()
        try fixture.convert(4..<8, to: .host)
        var pending = try fixture.pending(0..<8, pinned: 0..<1)
        #expect(try fixture.convert(0..<8, to: .private).ticket === pending.ticket)
        #expect(try fixture.convert(2..<6, to: .private).ticket === pending.ticket)
        pending.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet)
    }

    @Test func convertingBackWithdrawsAsManyAsThereAre() throws {
        let fixture = try ControllerFixture()
        let pins = try fixture.lease(0..<8)
        let tickets = try (0..<8).map { try fixture.convert($0..<($0 + 1), to: .private).ticket }
        #expect(try fixture.convert(0..<8, to: .shared).isCompleted)
        #expect(tickets.allSatisfy { $0?.result?.word == "cancelled" })
        pins.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet && fixture.map.allSatisfy { $0 == "S" })
    }

    /// All or nothing: where one hand-over cannot be taken back, none is.
    @Test func convertingBackPartOfANeighbourWithdrawsNothing() throws {
        let fixture = try ControllerFixture()
        let pins = try fixture.lease(0..<8)
        let first = try fixture.convert(0..<4, to: .private).ticket
        let second = try fixture.convert(4..<8, to: .private).ticket
        #expect(try fixture.refusal(0..<6, to: .shared) == .busy)
        #expect(first?.result == nil && second?.result == nil)
        pins.release()
        fixture.clock.drain()
        #expect(first?.result?.word == "completed" && second?.result?.word == "completed")
    }

    @Test func whatOverlapsIsBusy() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(4..<8, pinned: 4..<5)
        let before = fixture.map
        #expect(try fixture.refusal(0..<8, to: .private) == .busy, "more than is in it")
        #expect(try fixture.refusal(4..<9, to: .private) == .busy)
        #expect(try fixture.refusal(4..<6, to: .shared) == .busy, "half of it back")
        #expect(try fixture.refusal(4..<8, to: .host) == .busy, "somewhere else")
        let beside = try fixture.pending(8..<12, pinned: 8..<9)
        #expect(try fixture.refusal(4..<12, to: .private) == .busy, "two of them are not one")
        #expect(beside.ticket.cancel())
        #expect(fixture.map == before && pending.ticket.result == nil)
        #expect(try fixture.refusal(0..<4, to: .private) == nil, "its neighbours are free")
        pending.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet)
    }

    @Test func theNumberOfPendingOnesOfTheGuestIsLimited() throws {
        let fixture = try ControllerFixture(limits: ControllerLimits(pendingHandovers: 2))
        let guest = Requester.guest(processor: 0)
        var first = try fixture.pending(0..<1, pinned: 0..<1, by: guest)
        var second = try fixture.pending(1..<2, pinned: 1..<2, by: guest)
        let third = try fixture.lease(2..<3)
        let before = fixture.map
        #expect(try fixture.refusal(2..<3, to: .private, by: guest) == .tooManyPending)
        let reply = fixture.controller.handle(
            GuestRequest(processor: 0, address: 8192, byteCount: 4096, target: .private)
        )
        #expect(reply == .retry(from: GuestPhysicalAddress(8192)))
        #expect(fixture.map == before)
        fixture.backend.plan { $0.commit[1] = .pend }
        #expect(try fixture.refusal(3..<4, to: .private, by: guest) == .tooManyPending, "nor through the back end")
        #expect(fixture.map == before && fixture.backend.openChanges.isEmpty)
        // What bounds the guest does not bound the host.
        #expect(try fixture.convert(2..<3, to: .private).word == "pending")
        let pins = try fixture.lease(8..<12)
        for page in 8..<12 as Range<UInt64> {
            #expect(try fixture.convert(page..<(page + 1), to: .private).word == "pending")
        }
        pins.release()
        first.release()
        second.release()
        third.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet)
    }

    /// What the back end completes by itself counts, and no longer than it lasts.
    @Test(arguments: [Requester.guest(processor: 0), .host("vmm")])
    func whatTheBackEndHoldsCounts(requester: Requester) throws {
        let limits = ControllerLimits(pendingHandovers: 2, pendingInTotal: 2)
        let fixture = try ControllerFixture(limits: limits)
        fixture.backend.plan { plan in for number in 1...20 { plan.commit[number] = .pend } }
        for round in 0..<3 {
            let tickets = try (0..<2 as Range<UInt64>).map { page in
                try fixture.convert(page..<(page + 1), to: .private, by: requester).ticket
            }
            #expect(try fixture.refusal(2..<3, to: .private, by: requester) == .tooManyPending, "round \(round)")
            for ticket in tickets { #expect(ticket?.cancel() == true) }
        }
        #expect(fixture.isQuiet)
    }

    @Test(arguments: [BackendError.Code.system, .resourcesExhausted, .busy])
    func aBackendThatFailsAfterTheLastReleaseEndsIt(code: BackendError.Code) throws {
        let fixture = try ControllerFixture()
        for kind in ["prepare", "commit"] {
            fixture.backend.plan {
                $0.prepare = kind == "prepare" ? [1: BackendError(code, "EIO")] : [:]
                $0.commit = kind == "commit" ? [1: .fail(BackendError(code, "EIO"))] : [:]
            }
            var pending = try fixture.pending(0..<4, pinned: 0..<1)
            pending.release()
            fixture.clock.drain()
            #expect(pending.ticket.result?.word == "failed")
            #expect(fixture.map.allSatisfy { $0 == "S" })
            #expect(fixture.isQuiet)
        }
    }

    /// References that only the back end sees, found after the last lease has gone: it waits on.
    @Test func aBackendThatIsStillBlockedIsAskedAgain() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit = [1: .block([]), 2: .block([])] }
        var pending = try fixture.pending(0..<4, pinned: 0..<1)
        pending.release()
        fixture.clock.drain()
        #expect(pending.ticket.result == nil && fixture.map.hasPrefix("----S"))
        fixture.clock.pass(.seconds(1))
        #expect(pending.ticket.result?.word == "completed")
        #expect(fixture.isQuiet)
        #expect(fixture.backend.calls.filter { if case .commit = $0 { true } else { false } }.count == 3)
    }

    @Test func anEndlesslyBlockedBackendCanBeGivenUp() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { plan in for number in 1...200 { plan.commit[number] = .block([]) } }
        var pending = try fixture.pending(0..<4, pinned: 0..<1, deadline: .seconds(1))
        pending.release()
        fixture.clock.pass(.seconds(2))
        #expect(pending.ticket.result?.word == "expired")
        #expect(fixture.isQuiet)
        let asked = fixture.backend.calls.count
        fixture.clock.pass(.seconds(10))
        #expect(fixture.backend.calls.count == asked, "and is then left alone")
        #expect(asked < 200, "\(asked) calls in a second")
    }
}
