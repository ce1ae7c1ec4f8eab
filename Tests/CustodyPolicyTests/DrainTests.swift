import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Holders are asked to let go, by name and range, and whoever waits goes on when the last one has.
@Suite struct DrainTests {
    private final class Device: Sendable {
        private struct State {
            var asked: [DrainRequest] = []
            var leases: [LeaseBox] = []
        }
        private let state = Locked(State())
        let letsGo: Bool
        init(letsGo: Bool) { self.letsGo = letsGo }

        func pin(_ controller: MemoryController, _ pages: Range<UInt64>, _ kind: LeaseKind = .pin) throws {
            let range = try PageRange(pages: pages)
            let holder = Holder(device: "nic", queue: "rx0", purpose: "receive buffers")
            let lease = try controller.lease(range, kind, for: holder) { [weak self] in self?.asked($0) }
            let box = LeaseBox(lease)
            state.withLock { $0.leases.append(box) }
        }

        private func asked(_ request: DrainRequest) {
            state.withLock { $0.asked.append(request) }
            if letsGo { release() }
        }

        func release() {
            let leases = state.withLock { state in
                defer { state.leases = [] }
                return state.leases
            }
            for lease in leases { lease.release() }
        }

        var asked: [DrainRequest] { state.withLock { $0.asked } }
    }

    @Test func aPendingHandOverAsksTheHoldersOfItsPages() throws {
        let fixture = try ControllerFixture()
        let device = Device(letsGo: true)
        let other = Device(letsGo: true)
        try device.pin(fixture.controller, 2..<12)
        try other.pin(fixture.controller, 40..<44)
        let outcome = try fixture.convert(0..<8, to: .private)
        let ticket = try #require(outcome.ticket)
        #expect(device.asked.isEmpty, "not on the requester's stack")
        #expect(ticket.blockers.map(\.holder.device) == ["nic"])
        #expect(ticket.blockers.map(\.range) == [try PageRange(pages: 2..<8)])
        fixture.clock.drain()
        #expect(device.asked.count == 1)
        #expect(device.asked.first?.ticket == ticket.id && device.asked.first?.target == .private)
        #expect(device.asked.first?.range == (try PageRange(pages: 2..<8)))
        #expect(ticket.result?.word == "completed")
        #expect(ticket.blockers.isEmpty && ticket.attempts == 1)
        #expect(other.asked.isEmpty)
        other.release()
        #expect(fixture.isQuiet)
    }

    @Test func aBlockedRequestAsksThemToo() throws {
        let fixture = try ControllerFixture()
        let device = Device(letsGo: true)
        try device.pin(fixture.controller, 2..<4, .mapping)
        #expect(try fixture.convert(0..<8, to: .private).blockers?.count == 1)
        fixture.clock.drain()
        #expect(device.asked.first.map { $0.ticket == nil } == true)
        #expect(try fixture.convert(0..<8, to: .private).isCompleted)
    }

    @Test func aHolderMayHoldOn() throws {
        let fixture = try ControllerFixture()
        let device = Device(letsGo: false)
        try device.pin(fixture.controller, 0..<4)
        let outcome = try fixture.convert(0..<8, to: .private, whenHeld: .handOver(deadline: .seconds(1)))
        let ticket = try #require(outcome.ticket)
        let ended = Locked<[String]>([])
        ticket.whenEnded { result in ended.withLock { $0.append("\(result)") } }
        fixture.clock.pass(.seconds(2))
        #expect(device.asked.count == 1)
        #expect(ticket.result?.word == "expired")
        #expect(ended.withLock { $0 } == ["expired"])
        ticket.whenEnded { result in ended.withLock { $0.append("again \(result)") } }
        #expect(ended.withLock { $0 } == ["expired", "again expired"])
        device.release()
        #expect(try fixture.convert(0..<8, to: .private).isCompleted)
    }

    /// Who is being asked for pages is not asked for the same ones once more, and for others when that is over.
    @Test(arguments: [(2..<4, 1), (1..<3, 1), (0..<8, 2)] as [(Range<UInt64>, Int)])
    func whoIsBeingAskedIsNotAskedForTheSame(pages: Range<UInt64>, calls: Int) throws {
        let fixture = try ControllerFixture()
        let controller = fixture.controller
        let asked = Locked<[PageRange]>([])
        let range = try PageRange(pages: 0..<8)
        let lease = try controller.lease(range, .mapping, for: Holder(device: "gpu")) { [weak fixture] request in
            let isFirst = asked.withLock { asked in
                asked.append(request.range)
                return asked.count == 1
            }
            if isFirst { _ = try? fixture?.convert(pages, to: .private) }
        }
        #expect(try fixture.convert(1..<4, to: .private).blockers?.count == 1)
        fixture.clock.drain()
        let first = try PageRange(pages: 1..<4)
        #expect(try asked.withLock { $0 } == [first] + (calls == 2 ? [PageRange(pages: pages)] : []))
        lease.release()
    }

    /// Of several wishes in one the newest hand-over is named.
    @Test func theNewestHandOverIsNamed() throws {
        let fixture = try ControllerFixture()
        let device = Device(letsGo: false)
        try device.pin(fixture.controller, 0..<8)
        let first = try #require(try fixture.convert(0..<2, to: .private).ticket)
        let second = try #require(try fixture.convert(4..<6, to: .private).ticket)
        fixture.clock.drain()
        #expect(device.asked.map(\.ticket) == [second.id])
        #expect(device.asked.map(\.range) == [try PageRange(pages: 0..<6)])
        device.release()
        fixture.clock.drain()
        #expect(first.result?.word == "completed" && second.result?.word == "completed")
    }

    /// A holder that has let go before it is asked is not asked.
    @Test func whoHasLetGoIsNotAsked() throws {
        let fixture = try ControllerFixture()
        let device = Device(letsGo: false)
        try device.pin(fixture.controller, 0..<4)
        device.release()
        #expect(try fixture.convert(0..<8, to: .private).isCompleted)
        fixture.clock.drain()
        #expect(device.asked.isEmpty)
    }
}
