import CGuestChannel
public import Custody

/// What a host answers to a guest's request.
public struct ChannelReply: Sendable, Hashable {
    /// The answer in a word.
    public enum Status: UInt8, Sendable, Hashable, CaseIterable {
        /// All of it is as asked for.
        case done = 0
        /// Not yet: ask again, from the reply's address on.
        case retry = 1
        /// No, and asking again will not help.
        case refused = 2
        /// Nobody is there to answer at the moment; ask the same again.
        case busy = 3
        /// The payload is not what the type needs.
        case malformed = 4
        /// There is no such request in the version that both sides speak.
        case unknownType = 5
        /// Nothing is answered before a hello.
        case helloFirst = 6
        /// The host speaks none of the versions that the guest does.
        case noVersion = 7
    }

    /// The answer in a word.
    public var status: Status
    /// Who has the bytes that a query was about.
    public var ownership: Ownership = .inTransit
    /// The version that both sides speak, in the reply to a hello.
    public var version: UInt16 = 0
    /// Where a retry goes on, or where the bytes of a query begin.
    public var address: UInt64 = 0
    /// How many bytes a query's answer is about, or in the reply to a hello the unit of every change.
    public var byteCount: UInt64 = 0

    /// A reply in a word.
    public init(_ status: Status) { self.status = status }

    /// The reply that says what a handler said.
    public init(saying reply: GuestReply) {
        switch reply {
        case .done: self.init(.done)
        case .retry(let address):
            self.init(.retry)
            self.address = address.rawValue
        case .refused: self.init(.refused)
        }
    }

    /// What a guest that asked for `address` makes of it.
    public func guestReply(asking address: UInt64) -> GuestReply {
        switch status {
        case .done: .done
        case .retry: .retry(from: GuestPhysicalAddress(self.address))
        case .busy: .retry(from: GuestPhysicalAddress(address))
        case .refused, .malformed, .unknownType, .helloFirst, .noVersion: .refused
        }
    }

    /// The reply to the request of number `id`, as a frame.
    public func frame(id: UInt32) -> ChannelFrame { ChannelFrame(unchecked: UInt8(GUEST_CHANNEL_REPLY), id, payload) }

    var payload: [UInt8] {
        var writer = ByteWriter()
        writer.append(status.rawValue)
        writer.append(ownership.rawValue)
        writer.append(version)
        writer.append(UInt32(0))
        writer.append(address)
        writer.append(byteCount)
        return writer.bytes
    }

    /// Reads a reply's payload.
    ///
    /// - Throws: ``ChannelError/malformed(type:)``.
    public init(payload: [UInt8]) throws(ChannelError) {
        let reader = ByteReader(bytes: payload)
        guard payload.count == Int(GUEST_CHANNEL_REPLY_SIZE),
            let status = Status(rawValue: reader.number(GUEST_CHANNEL_REPLY_STATUS)),
            let ownership = Ownership(rawValue: reader.number(GUEST_CHANNEL_REPLY_OWNERSHIP))
        else { throw .malformed(type: UInt8(GUEST_CHANNEL_REPLY)) }
        self.init(status)
        self.ownership = ownership
        version = reader.number(GUEST_CHANNEL_REPLY_VERSION)
        address = reader.number(GUEST_CHANNEL_REPLY_ADDRESS)
        byteCount = reader.number(GUEST_CHANNEL_REPLY_COUNT)
    }
}
