import Custody
import CustodyPolicy
import GuestChannel
import Testing

/// A connection with a guest at its other end that behaves, or does not.
@Suite struct ConnectionTests {
    private func code(_ body: () throws -> Void) -> BackendError.Code? {
        do { try body() } catch { return (error as? BackendError)?.code }
        return nil
    }

    private struct Refusing: GuestRequestHandler {
        func handle(_ request: GuestRequest) -> GuestReply { .refused }
    }

    @Test func anAgentStoresLoadsAndAsks() throws {
        let (guest, host) = try GuestEnd.pair()
        try guest.run(GuestEnd.obedient())
        let connection = try ChannelConnection(descriptor: host, granularity: .base)
        let agent = ChannelGuestAgent(connection)
        let bytes = (0..<1200).map { UInt8(truncatingIfNeeded: $0) }
        #expect(
            try agent.perform(.write(bytes, to: GuestPhysicalAddress(100)), on: 0, answeringTo: Refusing()) == .written
        )
        let load = GuestOperation.read(count: 1200, from: GuestPhysicalAddress(100))
        #expect(try agent.perform(load, on: 0, answeringTo: Refusing()) == .bytes(bytes))
        #expect(connection.features == [.commands, .memory])
        let beyond = GuestOperation.read(count: 500, from: GuestPhysicalAddress(4000))
        #expect(try agent.perform(beyond, on: 0, answeringTo: Refusing()) == .fault(GuestPhysicalAddress(4000)))
        let far = GuestOperation.write([1, 2], to: GuestPhysicalAddress(.max))
        #expect(try agent.perform(far, on: 0, answeringTo: Refusing()) == .fault(GuestPhysicalAddress(.max)))
        let fixture = try ChannelFixture()
        for (target, reply) in [(.private, .done), (.inTransit, .refused)] as [(Ownership, GuestReply)] {
            let request = GuestOperation.request(address: ChannelFixture.start, byteCount: 4096, target: target)
            #expect(try agent.perform(request, on: 0, answeringTo: fixture.controller) == .reply(reply))
        }
        #expect(fixture.map.first == "P")
        #expect(code { _ = try agent.perform(load, on: 1, answeringTo: Refusing()) } == .invalidArgument)
    }

    /// What a guest asks by itself reaches whoever serves, and nobody else.
    @Test func aGuestAsksByItself() throws {
        let (guest, host) = try GuestEnd.pair()
        let connection = try ChannelConnection(descriptor: host, granularity: .base)
        let fixture = try ChannelFixture()
        var decoder = ChannelDecoder()
        func ask(_ request: ChannelRequest) throws -> ChannelReply {
            guest.send(request.frame(id: 6).bytes)
            while true {
                if let frame = decoder.frames(in: guest.receive()).first {
                    return try ChannelReply(payload: frame.payload)
                }
            }
        }
        let share = ChannelRequest.convert(address: ChannelFixture.start, byteCount: 4096, to: .private)
        #expect(try ask(share).status == .helloFirst)
        #expect(try ask(.hello(lowest: 1, highest: 1, features: [])).byteCount == 4096)
        #expect(try ask(share).status == .busy)
        connection.serve(fixture.controller)
        #expect(try ask(share).status == .done)
        #expect(try ask(.query(address: ChannelFixture.start, byteCount: 9)).ownership == .private)
        connection.serve(nil)
        #expect(try ask(share).status == .busy)
    }

    @Test func aGuestThatDoesNotAnswerIsNotWaitedForForEver() throws {
        let (guest, host) = try GuestEnd.pair()
        try guest.run { _ in [] }
        let connection = try ChannelConnection(descriptor: host, granularity: .base)
        #expect(code { _ = try connection.perform(.greet, within: .milliseconds(20)) } == .guestFailed)
        #expect(code { try connection.greet(within: .milliseconds(50)) } == .guestFailed)
    }

    /// One that boots slowly, or whose processors rest, reads everything later, however much has been said meanwhile; also where
    /// its line has taken a part of a frame.
    @Test(arguments: [false, true])
    func aGuestThatReadsNothingKeepsItsChannel(isTearing: Bool) throws {
        let (guest, host) = try isTearing ? GuestEnd.tearingPair() : GuestEnd.pair()
        let connection = try ChannelConnection(descriptor: host, granularity: .base)
        let told = Locked<Set<UInt32>>([])
        let long = ChannelCommand.write([UInt8](repeating: 1, count: 480), address: 0)
        // What the buffers of a line take is less by far.
        for _ in 0..<20_000 {
            #expect(code { _ = try connection.perform(long, within: .zero) } == .guestFailed)
        }
        let obey = GuestEnd.obedient()
        try guest.run { frame in
            told.withLock { _ = $0.insert(frame.id) }
            return obey(frame)
        }
        #expect(try connection.perform(.removal(.accept), within: .seconds(120)).status == .done)
        // Not all of it fitted: it was sent whole, or not at all.
        let count = told.withLock { $0.count }
        #expect(count > 10 && count < 20_001, "\(count)")
        #expect(connection.skippedBytes == 0)
    }

    /// Whoever listens at the path again has the channel; until then commands fail at once.
    @Test func aChannelThatTheOtherEndClosesIsOpenedAgain() throws {
        let listener = try GuestListener()
        let connection = try ChannelConnection(path: listener.path, granularity: .base)
        let agent = ChannelGuestAgent(connection, patience: .seconds(120))
        let load = GuestOperation.read(count: 1, from: GuestPhysicalAddress(0))
        for _ in 0..<3 {
            let guest = try listener.next()
            try guest.run(GuestEnd.obedient())
            // The one before may be cut off while it is asked.
            let answer = (try? agent.perform(load, on: 0, answeringTo: Refusing())) ?? .bytes([0])
            #expect(try agent.perform(load, on: 0, answeringTo: Refusing()) == answer)
            guest.close()
        }
        let last = try listener.next()
        listener.end()
        last.close()
        #expect(code { while true { _ = try connection.perform(.greet, within: .seconds(120)) } } == .guestFailed)
        connection.close()
        #expect(code { _ = try connection.perform(.greet, within: .seconds(120)) } == .guestFailed)
    }

    @Test func aChannelThatClosesFailsWhatIsUnderWay() throws {
        let (guest, host) = try GuestEnd.pair()
        try guest.run { [weak guest] frame in
            guest?.close()
            return []
        }
        let connection = try ChannelConnection(descriptor: host, granularity: .base)
        #expect(code { _ = try connection.perform(.greet, within: .seconds(60)) } == .guestFailed)
        #expect(code { _ = try connection.perform(.greet, within: .seconds(60)) } == .guestFailed)
        #expect(code { try connection.greet(within: .seconds(60)) } == .guestFailed)
        connection.close()
    }

    /// Results that nobody waits for, replies, commands and noise: the command under way has its own result all the same.
    @Test func whatNobodyAskedForIsPassedOver() throws {
        let (guest, host) = try GuestEnd.pair()
        try guest.run { [weak guest] frame in
            guard frame.type == 0x43, let done = try? ChannelResult(.done).frame(id: frame.id) else { return [] }
            guest?.send([UInt8]("CUST noise".utf8))
            let other = (try? ChannelResult(.failed).frame(id: frame.id &+ 1)).map { [$0] } ?? []
            let short = (try? ChannelFrame(type: 0xc0, id: frame.id, payload: [0])).map { [$0] } ?? []
            return other + short + [ChannelReply(.refused).frame(id: frame.id), done]
        }
        let connection = try ChannelConnection(descriptor: host, granularity: .base)
        #expect(try connection.perform(.removal(.accept), within: .seconds(60)).status == .done)
        let long = ChannelCommand.write([UInt8](repeating: 1, count: 500), address: 0)
        #expect(code { _ = try connection.perform(long, within: .seconds(60)) } == .invalidArgument)
        #expect(try connection.perform(.removal(.refuse), within: .seconds(60)).status == .done)
        #expect(connection.skippedBytes == 20)
    }

    @Test func nobodyAtTheSocketIsAnError() {
        #expect(code { _ = try ChannelConnection(path: "/nowhere/socket", granularity: .base) } == .unavailable)
        let long = "/" + String(repeating: "x", count: 200)
        #expect(code { _ = try ChannelConnection(path: long, granularity: .base) } == .invalidArgument)
    }
}
