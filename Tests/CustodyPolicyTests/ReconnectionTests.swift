import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// A back end that loses touch with its guest for a while.
@Suite struct ReconnectionTests {
    private func reconciliation(_ fixture: ControllerFixture) throws -> Reconciliation {
        let all = fixture.events.events.compactMap { event -> Reconciliation? in
            guard case .reconnected(let found) = event.kind else { return nil }
            return found
        }
        try #require(all.count == 1)
        return all[0]
    }

    /// The controller agrees with itself and with the back end, and nothing is under way.
    private func check(_ fixture: ControllerFixture) {
        #expect(fixture.isQuiet)
        #expect(fixture.controller.snapshot().inconsistency == nil)
    }

    @Test func requestsFailAndGuestsAskAgain() throws {
        let fixture = try ControllerFixture()
        fixture.backend.disconnect()
        #expect(try fixture.refusal(0..<4, to: .private) == .backend)
        let request = GuestRequest(processor: 0, address: 4096, byteCount: 8192, target: .private)
        #expect(fixture.controller.handle(request) == .retry(from: GuestPhysicalAddress(4096)))
        #expect(throws: ConversionError.self) { try fixture.controller.discard(PageRange(pages: 0..<1)) }
        fixture.backend.reconnect()
        #expect(fixture.controller.handle(request) == .done)
        #expect(try reconciliation(fixture).isExact)
        check(fixture)
    }

    @Test func aHandOverThatWasWaitingGoesOn() throws {
        let fixture = try ControllerFixture()
        var held = try fixture.pending(0..<8, pinned: 3..<4)
        fixture.backend.disconnect()
        held.release()
        fixture.clock.drain()
        #expect(held.ticket.result == nil && held.ticket.attempts == 1)
        fixture.clock.pass(.milliseconds(50))
        let attempts = held.ticket.attempts
        #expect(held.ticket.result == nil && attempts > 3, "it is tried, less and less often")
        fixture.backend.reconnect()
        #expect(held.ticket.result?.word == "completed" && held.ticket.attempts == attempts + 1)
        fixture.clock.pass(.seconds(1))
        #expect(fixture.events.settlements.count == 1)
        check(fixture)
    }

    /// The back end was completing it by itself, and has lost sight of it.
    @Test func aHandOverThatTheBackEndDoesNotCarryOutAnyMoreIsAskedForAgain() throws {
        let fixture = try ControllerFixture(pages: 0..<32)
        for low in [4, 12] as [UInt64] { try fixture.convert(low..<(low + 4), to: .private) }
        let before = fixture.map
        fixture.backend.plan { $0.commit[4] = .pend }
        let listener = RecordingListener(bounds: fixture.controller.layout.bounds)
        try fixture.controller.add(listener)
        let ticket = try #require(try fixture.convert(0..<20, to: .private).ticket)
        fixture.backend.disconnect()
        fixture.backend.reconnect(withoutCarryingOut: fixture.backend.waiting)
        #expect(ticket.result?.word == "completed", "asked for again, and carried out")
        #expect(ticket.attempts == 2)
        #expect(before != fixture.map && listener.live == fixture.hostMap && listener.violations == [])
        fixture.clock.pass(.seconds(1))
        #expect(fixture.events.settlements.count == 1)
        check(fixture)
    }

    /// Its pages are in the ownership before or in transit.
    @Test(arguments: [Ownership.shared, .inTransit])
    func oneThatIsStillUnderWayIsLeftAlone(found: Ownership) throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        fixture.backend.disconnect()
        fixture.backend.changeBehindTheBack(try PageRange(pages: 0..<4), to: found)
        fixture.backend.reconnect()
        #expect(ticket.result == nil)
        fixture.backend.complete(try #require(fixture.backend.waiting.first))
        #expect(ticket.result?.word == "completed")
        check(fixture)
    }

    @Test func whatChangedHandsMeanwhileIsFollowed() throws {
        let pool = SharedPool(pages: 100)
        let clock = VirtualExecutor()
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<64), executor: clock)
        let log = EventLog()
        let controller = MemoryController(backend: backend, policy: AllowAll(), pool: pool, observer: log)
        let listener = RecordingListener(bounds: controller.layout.bounds)
        try controller.add(listener)
        _ = try controller.convert(ConversionRequest(PageRange(pages: 40..<44), to: .private, by: .host("vmm")))
        listener.forgetCalls()
        let asked = Locked<[DrainRequest]>([])
        let lease = try controller.lease(PageRange(pages: 8..<10), .pin, for: Holder(device: "nic")) { request in
            asked.withLock { $0.append(request) }
        }
        let kept = try controller.lease(PageRange(pages: 21..<22), .pin, for: Holder(device: "nic")) { request in
            asked.withLock { $0.append(request) }
        }
        backend.disconnect()
        backend.changeBehindTheBack(try PageRange(pages: 4..<12), to: .private)
        backend.changeBehindTheBack(try PageRange(pages: 20..<24), to: .host)
        backend.changeBehindTheBack(try PageRange(pages: 40..<44), to: .shared)
        backend.reconnect()
        clock.drain()
        #expect(Array(backend.ownership.runs) == controller.runs(in: controller.layout.bounds))
        #expect(controller.snapshot().inconsistency == nil)
        #expect(controller.tally.private == 8 && controller.tally.host == 4 && controller.tally.exposed == 52)
        #expect(pool.usedPages == 52)
        #expect(listener.calls.count == 4, "prepare and commit of two runs; the host keeps what is its own")
        #expect(listener.live.isUniform(try PageRange(pages: 4..<12), false))
        #expect(asked.withLock { $0.map(\.range) } == [try PageRange(pages: 8..<10)])
        guard case .reconnected(let found)? = log.events.last?.kind else { throw BackendError(.system, "no event") }
        #expect(
            found.ownership.map(\.description) == [
                "0x4000-0xbfff (32 KiB) shared → private", "0x14000-0x17fff (16 KiB) shared → host",
                "0x28000-0x2bfff (16 KiB) private → shared",
            ]
        )
        lease.release()
        kept.release()
    }

    /// Where one change of a hand-over has been made and another has not, it has failed.
    @Test func aWaitingHandOverThatIsHalfDone() throws {
        let fixture = try ControllerFixture()
        try fixture.convert(2..<4, to: .host)
        var held = try fixture.pending(0..<4, pinned: 0..<1)
        fixture.backend.disconnect()
        fixture.backend.changeBehindTheBack(try PageRange(pages: 0..<2), to: .private)
        fixture.backend.reconnect()
        #expect(held.ticket.result?.word == "failed" && fixture.map.hasPrefix("PPHHS"))
        #expect(try reconciliation(fixture).failed == [held.ticket.id])
        held.release()
        fixture.clock.pass(.seconds(1))
        check(fixture)
    }

    /// A listener that refuses to lose what the host has lost is told all the same, and stays.
    @Test func nobodyRefusesWhatTheHostHasLost() throws {
        let fixture = try ControllerFixture()
        let listener = RecordingListener(bounds: fixture.controller.layout.bounds)
        try fixture.controller.add(listener)
        listener.veto(1)
        fixture.backend.disconnect()
        fixture.backend.changeBehindTheBack(try PageRange(pages: 0..<4), to: .private)
        fixture.backend.reconnect()
        #expect(fixture.events.dismissed.isEmpty && listener.live == fixture.hostMap && listener.violations == [])
        try fixture.convert(8..<12, to: .private)
        #expect(listener.live == fixture.hostMap && listener.open == [])
        check(fixture)
    }

    @Test(arguments: [Ownership.private, .host])
    func pagesOfAWaitingHandOverThatChangedHands(found: Ownership) throws {
        let fixture = try ControllerFixture()
        let listener = RecordingListener(bounds: fixture.controller.layout.bounds)
        try fixture.controller.add(listener)
        var held = try fixture.pending(0..<8, pinned: 3..<4)
        fixture.backend.disconnect()
        fixture.backend.changeBehindTheBack(try PageRange(pages: 0..<8), to: found)
        fixture.backend.reconnect()
        #expect(held.ticket.result?.word == (found == .private ? "completed" : "failed"))
        let report = try reconciliation(fixture)
        #expect(report.completed == (found == .private ? [held.ticket.id] : []))
        #expect(report.failed == (found == .private ? [] : [held.ticket.id]))
        #expect(listener.live == fixture.hostMap && listener.open == [] && listener.violations == [])
        held.release()
        fixture.clock.pass(.seconds(1))
        #expect(fixture.events.settlements.count == 1)
        check(fixture)
    }
}
