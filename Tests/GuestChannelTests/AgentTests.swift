import Custody
import CustodyPolicy
import GuestChannel
import SimulationBackend
import Testing

/// The agent for Linux, outside of a guest: what it says on the line, and what it makes of the answers.
@Suite(.serialized) struct AgentTests {
    private func run(
        _ arguments: [String],
        _ services: any ChannelConnection.Services
    ) throws -> (code: Int32, output: String) {
        let agent = try AgentProcess(arguments)
        agent.connection.serve(services)
        try agent.start()
        return try agent.finish()
    }

    @Test func requestsReachTheController() throws {
        let fixture = try ChannelFixture(policy: AllowAll())
        let controller = fixture.controller
        #expect(try run(["unshare", "1M", "16K"], controller) == (0, "done\n"))
        #expect(try run(["query", "0x100000"], controller) == (0, "private 0x100000 0x1\n"))
        #expect(try run(["query", "1M", "1G"], controller) == (0, "private 0x100000 0x4000\n"))
        #expect(try run(["share", "1M", "4K"], controller) == (0, "done\n"))
        #expect(try run(["give-back", "0x13F000", "4096"], controller) == (0, "done\n"))
        #expect(fixture.map == "SPPP" + String(repeating: "S", count: 59) + "H")
        #expect(try run(["share", "0", "4K"], controller) == (1, "custody-agent: refused at 0x0\n"))
        #expect(try run(["query", "0"], controller) == (1, "custody-agent: refused at 0x0\n"))
    }

    /// It asks again from where it is told, until its time is over or the pages are there.
    @Test func whatIsHeldIsAskedForAgain() throws {
        let fixture = try ChannelFixture()
        let held = try PageRange(start: PageNumber(258), count: 1)
        let lease = try fixture.controller.lease(held, .pin, for: Holder(device: "nic"))
        let result = try run(["unshare", "1M", "16K"], fixture.controller)
        #expect(result == (75, "custody-agent: not yet done from 0x100000 on\n"))
        #expect(fixture.controller.pendingTickets.count == 1)

        let agent = try AgentProcess(["-w", "600", "unshare", "1M", "16K"])
        let clock = fixture.backend.clock
        let services = Releasing(fixture.controller, lease) { clock.drain() }
        agent.connection.serve(services)
        try agent.start()
        #expect(try agent.finish() == (0, "done\n"))
        #expect(services.asked > 1)
        #expect(fixture.map.hasPrefix("PPPPS"))
    }

    /// Lets a lease go when it has been asked for the second time.
    private final class Releasing: GuestRequestHandler, GuestQueryHandler {
        private struct State: ~Copyable {
            var lease: HostLease?
            var asked = 0
        }
        private let controller: MemoryController
        private let state: Locked<State>
        private let drain: @Sendable () -> Void

        init(_ controller: MemoryController, _ lease: consuming HostLease, _ drain: @escaping @Sendable () -> Void) {
            self.controller = controller
            self.drain = drain
            state = Locked(State(lease: consume lease))
        }

        var asked: Int { state.withLock { $0.asked } }

        func run(containing page: PageNumber) -> PageRun<Ownership>? { nil }

        func handle(_ request: GuestRequest) -> GuestReply {
            let reply = controller.handle(request)
            state.withLock { state in
                state.asked += 1
                if state.asked == 2 { state.lease = nil }
            }
            drain()
            return reply
        }
    }

    /// A host that sends it back, or beyond what it asked for, is not followed.
    @Test func aHostThatMisleadsIsNotFollowed() throws {
        final class Misleading: GuestRequestHandler, GuestQueryHandler {
            let target: UInt64
            init(_ target: UInt64) { self.target = target }
            func handle(_ request: GuestRequest) -> GuestReply { .retry(from: GuestPhysicalAddress(target)) }
            func run(containing page: PageNumber) -> PageRun<Ownership>? { nil }
        }
        for target: UInt64 in [0xff000, 0x104000, .max] {
            let result = try run(["-w", "600", "share", "1M", "16K"], Misleading(target))
            #expect(result == (1, "custody-agent: the host sends us to 0x\(String(target, radix: 16))\n"))
        }
    }

    @Test func wrongUsageIsSaidSo() throws {
        let fixture = try ChannelFixture()
        for arguments in [
            [], ["shar", "1", "2"], ["share", "1"], ["share", "x", "1"], ["share", "1", "-1"],
            ["share", "99999999999G", "1"],
            ["serve", "1"], ["-w", "x", "serve"], ["online", "1", "2", "sometimes"],
        ] {
            let result = try run(arguments, fixture.controller)
            #expect(result.code == 64 && result.output.hasPrefix("usage: custody-agent"), "\(arguments)")
        }
        #expect(try run(["-h"], fixture.controller).code == 0)
    }

    @Test func asAServerItDoesWhatTheHostSays() throws {
        let agent = try AgentProcess(["serve"])
        try agent.start()
        let features = try agent.connection.greet(within: .seconds(60))
        #expect(features == [.commands, .memory, .memoryBlocks])
        let fixture = try ChannelFixture()
        let guest = ChannelGuestAgent(agent.connection, patience: .seconds(60))
        func ask(_ address: UInt64, _ target: Ownership) throws -> GuestOutcome {
            let operation = GuestOperation.request(address: address, byteCount: 4096, target: target)
            return try guest.perform(operation, on: 0, answeringTo: fixture.controller)
        }
        #expect(try ask(ChannelFixture.start, .private) == .reply(.done))
        #expect(try ask(ChannelFixture.start + 1, .private) == .reply(.refused))
        #expect(try ask(ChannelFixture.start, .inTransit) == .reply(.refused))
        func result(_ command: ChannelCommand) throws -> ChannelResult {
            try agent.connection.perform(command, within: .seconds(60))
        }
        #expect(try result(.hold(byteCount: 1 << 20)).status == .done)
        #expect(try result(.hold(byteCount: 3 << 20, pinned: true)).status == .done)
        #expect(try result(.hold(byteCount: .max)).status == .failed)
        #expect(try result(.hold(byteCount: 0)).status == .done)
        #expect(try result(.removal(.accept)).status == .unknownType)
        #expect(try result(.read(byteCount: 489, address: 0)).status == .malformed)
        #expect(try result(.online(address: 1 << 60, byteCount: 1, .movable)).status == .failed)
        agent.connection.close()
        #expect(try agent.finish().code == 69)
    }
}
