import Custody
import GuestChannel
import Testing

/// Messages to frames and back; what is no message is an error.
@Suite struct MessageTests {
    @Test(arguments: [
        ChannelRequest.hello(lowest: 1, highest: 3, features: [.commands, .memory]),
        .convert(address: 0x1000, byteCount: 0x2000, to: .shared),
        .convert(address: .max, byteCount: .max, to: .private), .convert(address: 1, byteCount: 2, to: .host),
        .query(address: 3, byteCount: 4),
    ])
    func requestsComeBack(_ request: ChannelRequest) throws {
        let frame = request.frame(id: 7)
        #expect(try ChannelRequest(frame) == request)
        for count in [0, frame.payload.count - 1, frame.payload.count + 1] {
            let payload = Array((frame.payload + [0]).prefix(count))
            let other = try ChannelFrame(type: frame.type, id: 7, payload: payload)
            #expect(throws: ChannelError.malformed(type: frame.type)) { try ChannelRequest(other) }
        }
    }

    @Test func whatIsNoRequestIsAnError() throws {
        for type in UInt8.min...UInt8.max where ![1, 2, 3, 4, 5].contains(type) {
            let frame = try ChannelFrame(type: type, id: 0, payload: [UInt8](repeating: 0, count: 16))
            #expect(throws: ChannelError.unknownType(type)) { try ChannelRequest(frame) }
        }
        let unasked = ChannelRequest.convert(address: 0, byteCount: 0, to: .inTransit).frame(id: 0)
        #expect(throws: ChannelError.unknownType(0x3f)) { try ChannelRequest(unasked) }
    }

    @Test func repliesComeBack() throws {
        for status in ChannelReply.Status.allCases {
            for ownership in Ownership.allCases {
                var reply = ChannelReply(status)
                reply.ownership = ownership
                reply.version = 1
                reply.address = .max - 1
                reply.byteCount = 5
                #expect(try ChannelReply(payload: reply.frame(id: 1).payload) == reply)
            }
        }
        let good = ChannelReply(.done).frame(id: 1).payload
        for bad in [[], Array(good.dropLast()), good + [0], [8] + good.dropFirst(), [0, 4] + good.dropFirst(2)] {
            #expect(throws: ChannelError.malformed(type: 0x80)) { try ChannelReply(payload: bad) }
        }
    }

    @Test func aGuestMakesOneOfThreeThingsOfAReply() {
        let address = GuestPhysicalAddress(0x5000)
        #expect(ChannelReply(saying: .retry(from: address)).guestReply(asking: 0) == .retry(from: address))
        #expect(ChannelReply(.busy).guestReply(asking: 0x5000) == .retry(from: address))
        #expect(ChannelReply(saying: .done).guestReply(asking: 0) == .done)
        for status in [ChannelReply.Status.refused, .malformed, .unknownType, .helloFirst, .noVersion] {
            #expect(ChannelReply(status).guestReply(asking: 0) == .refused)
        }
    }

    @Test func commandsHaveOneShape() throws {
        let write = try ChannelCommand.write([1, 2, 3], address: 0x1122).frame(id: 5)
        #expect(write.type == 0x41 && write.id == 5)
        #expect(
            write.payload == [0x22, 0x11, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]
        )
        let ask = ChannelCommand.ask(.convert(address: 1, byteCount: 2, to: .host))
        #expect(
            try ask.frame(id: 1).payload == [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
        )
        #expect(try ChannelCommand.removal(.refuse).frame(id: 1).payload[16] == 2)
        #expect(
            try ChannelCommand.write([UInt8](repeating: 0, count: 488), address: 0).frame(id: 1).payload.count == 512
        )
        #expect(throws: ChannelError.tooLong(byteCount: 513)) {
            try ChannelCommand.write([UInt8](repeating: 0, count: 489), address: 0).frame(id: 1)
        }
    }

    @Test func resultsComeBack() throws {
        for status in ChannelResult.Status.allCases {
            var result = ChannelResult(status)
            result.error = 12
            result.address = 1 << 40
            result.data = [1, 2]
            #expect(try ChannelResult(result.frame(id: 3)) == result)
        }
        let frame = try ChannelResult(.done).frame(id: 3)
        for payload in [Array(frame.payload.dropLast()), [6] + frame.payload.dropFirst()] {
            let bad = try ChannelFrame(type: frame.type, id: 3, payload: payload)
            #expect(throws: ChannelError.malformed(type: 0xc0)) { try ChannelResult(bad) }
        }
        #expect(throws: ChannelError.unknownType(0x80)) { try ChannelResult(ChannelReply(.done).frame(id: 3)) }
    }
}
