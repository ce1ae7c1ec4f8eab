import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// A standing mapping, or a caller that does not want to wait: nothing is registered.
@Suite struct BlockedTests {
    @Test func aMappingRegistersNothing() throws {
        let fixture = try ControllerFixture()
        let mapping = try fixture.lease(3..<5, .mapping, "vhost")
        let before = fixture.map
        let outcome = try fixture.convert(0..<8, to: .private)
        #expect(outcome.blockers?.map(\.holder.device) == ["vhost"])
        #expect(try outcome.blockers?.map(\.range) == [PageRange(pages: 3..<5)])
        #expect(fixture.backend.calls.isEmpty, "the back end does not hear of it")
        #expect(fixture.controller.pendingTickets.isEmpty)
        #expect(fixture.map == before)
        try fixture.lease(0..<8, .access).release()
        mapping.release()
        fixture.clock.drain()
        #expect(fixture.backend.calls.isEmpty, "and nothing happens when it goes")
        #expect(try fixture.convert(0..<8, to: .private).isCompleted)
        #expect(fixture.isQuiet)
    }

    /// A guest takes everything before the address that it is sent to for done: it would put secrets there.
    @Test func theAnswerClaimsNoPageThatIsNotDone() throws {
        let fixture = try ControllerFixture()
        try fixture.convert(0..<2, to: .private)
        let mapping = try fixture.lease(5..<6, .mapping)
        let outcome = try fixture.convert(0..<8, to: .private)
        #expect(outcome.stoppedAt == PageNumber(2))
        #expect(try outcome.completedPrefix == PageRange(pages: 0..<2))
        let ask = GuestRequest(processor: 0, address: 0, byteCount: 8 * 4096, target: .private)
        #expect(fixture.controller.handle(ask) == .retry(from: GuestPhysicalAddress(2 * 4096)))
        mapping.release()
        let blocker = Blocker(
            holder: Holder(device: "vfio"),
            range: try PageRange(pages: 4..<5),
            kind: .pin,
            since: .zero
        )
        fixture.backend.plan { $0.commit[2] = .block([blocker]) }
        #expect(fixture.controller.handle(ask) == .retry(from: GuestPhysicalAddress(2 * 4096)))
        #expect(fixture.isQuiet)
    }

    @Test func aMappingBesideAPinBlocksAsWell() throws {
        let fixture = try ControllerFixture()
        let pin = try fixture.lease(0..<1, .pin)
        let mapping = try fixture.lease(0..<1, .mapping)
        let outcome = try fixture.convert(0..<2, to: .private)
        #expect(outcome.blockers?.map(\.kind) == [.pin, .mapping])
        mapping.release()
        #expect(try fixture.convert(0..<2, to: .private).word == "pending")
        pin.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet)
    }

    @Test func whoOnlyWantsAReportIsGivenOne() throws {
        let fixture = try ControllerFixture()
        let pin = try fixture.lease(6..<7)
        let outcome = try fixture.convert(0..<8, to: .private, whenHeld: .report)
        #expect(outcome.blockers?.count == 1)
        #expect(fixture.controller.pendingTickets.isEmpty && fixture.backend.calls.isEmpty)
        #expect(fixture.map.allSatisfy { $0 == "S" })
        pin.release()
        #expect(try fixture.convert(0..<8, to: .private, whenHeld: .report).isCompleted)
    }

    @Test func aReportIsMadeOfABackendsReferencesToo() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.commit[1] = .pend }
        let outcome = try fixture.convert(0..<8, to: .private, whenHeld: .report)
        #expect(outcome.word == "blocked")
        #expect(fixture.isQuiet)
        #expect(fixture.map.allSatisfy { $0 == "S" })
    }

    /// Giving takes nothing away from the holder.
    @Test func leasesDoNotStandInTheWayOfGiving() throws {
        let fixture = try ControllerFixture(initially: .host)
        let mapping = try fixture.lease(0..<4, .mapping)
        #expect(try fixture.convert(0..<8, to: .shared).isCompleted)
        #expect(try fixture.convert(0..<8, to: .host).isCompleted, "nor of what the guest loses")
        mapping.release()
        #expect(fixture.isQuiet)
    }
}
