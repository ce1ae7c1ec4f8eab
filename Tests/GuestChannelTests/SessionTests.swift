import Custody
import CustodyPolicy
import CustodyTestSupport
import GuestChannel
import SimulationBackend
import Testing

/// What a guest is answered, with a controller behind.
@Suite struct SessionTests {
    private func hello(_ lowest: UInt16, _ highest: UInt16) -> ChannelFrame {
        ChannelRequest.hello(lowest: lowest, highest: highest, features: .commands).frame(id: 4)
    }

    @Test func nothingIsAnsweredBeforeAHello() throws {
        let fixture = try ChannelFixture()
        #expect(try fixture.ask(0..<1, to: .private).status == .helloFirst)
        #expect(try fixture.answer(ChannelFrame(type: 0x20, id: 1, payload: [])).status == .helloFirst)
        #expect(try fixture.answer(ChannelFrame(type: 1, id: 1, payload: [])).status == .malformed)
        let reply = try fixture.answer(hello(1, 9))
        #expect(reply.status == .done && reply.version == 1 && reply.byteCount == 4096)
        #expect(fixture.session.features == .commands)
        #expect(try fixture.ask(0..<1, to: .private).status == .done)
    }

    @Test func aVersionIsAgreedOnOrNothingIs() throws {
        let fixture = try ChannelFixture()
        for (lowest, highest) in [(0, 0), (2, 2), (2, 1), (9, 65535)] as [(UInt16, UInt16)] {
            #expect(try fixture.answer(hello(1, 1)).status == .done)
            #expect(try fixture.answer(hello(lowest, highest)).status == .noVersion)
            #expect(try fixture.ask(0..<1, to: .private).status == .helloFirst)
        }
        #expect(try fixture.answer(hello(0, 1)).version == 1)
    }

    @Test func requestsReachTheControllerAndItsPolicy() throws {
        let secret = try PageRange(start: PageNumber(256 + 60), count: 4)
        let fixture = try ChannelFixture(policy: ProtectedRange(secret, neverBecoming: [.shared]))
        try fixture.greet()
        #expect(try fixture.ask(0..<4, to: .private).status == .done)
        #expect(try fixture.ask(60..<64, to: .private).status == .done)
        #expect(try fixture.ask(60..<61, to: .shared).status == .refused, "the policy protects it")
        #expect(try fixture.ask(8..<9, to: .host).status == .done)
        #expect(try fixture.ask(64..<65, to: .private).status == .refused, "there is no memory")
        #expect(fixture.map == "PPPPSSSSH" + String(repeating: "S", count: 51) + "PPPP")
    }

    @Test func whatIsHeldIsToBeAskedForAgain() throws {
        let fixture = try ChannelFixture(limits: ControllerLimits(pendingHandovers: 1))
        try fixture.greet()
        let lease = try fixture.controller.lease(
            PageRange(start: PageNumber(258), count: 1),
            .pin,
            for: Holder(device: "nic")
        )
        let reply = try fixture.ask(2..<3, to: .private)
        #expect(reply.status == .retry && reply.address == 0x10_2000)
        #expect(try fixture.ask(2..<3, to: .private) == reply, "it joins what it began")
        #expect(fixture.controller.pendingTickets.count == 1)
        lease.release()
        fixture.backend.clock.drain()
        #expect(try fixture.ask(2..<3, to: .private).status == .done)
    }

    @Test func pendingHandOversAreBounded() throws {
        let fixture = try ChannelFixture(limits: ControllerLimits(pendingHandovers: 3))
        try fixture.greet()
        let lease = try fixture.controller.lease(
            PageRange(start: PageNumber(256), count: 64),
            .pin,
            for: Holder(device: "nic")
        )
        for page: UInt64 in 0..<20 {
            let reply = try fixture.ask(page..<(page + 1), to: .private)
            #expect(reply.status == .retry && reply.address == ChannelFixture.start + page * 4096)
        }
        #expect(fixture.controller.pendingTickets.count == 3)
        lease.release()
    }

    @Test func aGuestCanAskWhatItsPagesAre() throws {
        let fixture = try ChannelFixture()
        try fixture.greet()
        _ = try fixture.ask(4..<8, to: .private)
        func query(_ address: UInt64, _ count: UInt64) throws -> ChannelReply {
            try fixture.answer(ChannelRequest.query(address: address, byteCount: count).frame(id: 3))
        }
        var reply = try query(0x10_4010, .max)
        #expect(reply.status == .done && reply.ownership == .private)
        #expect(reply.address == 0x10_4010 && reply.byteCount == 0x3ff0)
        reply = try query(0x10_8000, 5)
        #expect(reply.ownership == .shared && reply.byteCount == 5)
        for (address, count) in [(0, 1), (0x14_0000, 1), (.max, .max), (0x10_4000, 0)] as [(UInt64, UInt64)] {
            #expect(try query(address, count).status == .refused)
        }
    }

    @Test func withNobodyThereTheGuestIsToldToAskAgain() throws {
        var session = ChannelSession(granularity: .large)
        _ = session.answer(hello(1, 1), by: nil, queries: nil)
        for request in [
            ChannelRequest.query(address: 0, byteCount: 1), .convert(address: 0, byteCount: 1, to: .shared),
        ] {
            let answer = session.answer(request.frame(id: 1), by: nil, queries: nil)
            #expect(try ChannelReply(payload: answer?.payload ?? []).status == .busy)
        }
    }

    @Test func answersAndCommandsAreNotAnswered() throws {
        let fixture = try ChannelFixture()
        for type in UInt8(0x40)...0xff {
            let frame = try ChannelFrame(type: type, id: 0, payload: [])
            #expect(fixture.session.answer(frame, by: fixture.controller, queries: nil) == nil)
        }
    }

    /// Whatever a guest sends: it gets at most one answer for a frame, the controller stays in order, and what is not a
    /// request for its own memory changes nothing.
    @Test func hostileStreamsAreAnswered() throws {
        var (random, note) = Seed.generator("hostile guest")
        let fixture = try ChannelFixture()
        try fixture.greet()
        var decoder = ChannelDecoder()
        for _ in 0..<2000 {
            var payload = (0..<(random.next() % 40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            if random.next() % 2 == 0 {
                let address = random.next() >> (random.next() % 64) & (random.next() % 2 == 0 ? ~4095 : .max)
                let count = random.next() >> (random.next() % 64) & (random.next() % 2 == 0 ? ~4095 : .max)
                payload = ChannelRequest.query(address: address, byteCount: count).frame(id: 0).payload
            }
            let type = UInt8(random.next() % 8) | (random.next() % 8 == 0 ? UInt8(random.next() & 0xf8) : 0)
            let frame = try ChannelFrame(type: type, id: UInt32(truncatingIfNeeded: random.next()), payload: payload)
            for frame in decoder.frames(in: frame.bytes) {
                let answer = fixture.session.answer(frame, by: fixture.controller, queries: fixture.controller)
                #expect((answer == nil) == (frame.type >= 0x40), "\(note)")
                #expect(answer?.id == nil || answer?.id == frame.id, "\(note)")
            }
        }
        #expect(fixture.controller.pendingTickets.isEmpty)
        #expect(fixture.controller.runs(in: fixture.controller.layout.bounds).allSatisfy { $0.state != .inTransit })
    }
}
