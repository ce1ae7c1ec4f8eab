import CGuestChannel

/// What a guest says of a command. The host believes none of it further than that the guest said so.
public struct ChannelResult: Sendable, Hashable {
    /// The result in a word.
    public enum Status: UInt8, Sendable, Hashable, CaseIterable {
        /// It is done.
        case done = 0
        /// It failed; the guest's errno may say why.
        case failed = 1
        /// The guest cannot reach the result's address.
        case fault = 2
        /// The guest is still at the command before.
        case busy = 3
        /// The payload is not what the type needs.
        case malformed = 4
        /// The guest does not take this command.
        case unknownType = 5
    }

    /// The result in a word.
    public var status: Status
    /// The guest's errno, or 0.
    public var error: UInt32 = 0
    /// The address of a fault.
    public var address: UInt64 = 0
    /// What was loaded, or the payload of a reply.
    public var data: [UInt8] = []

    /// A result in a word.
    public init(_ status: Status) { self.status = status }

    /// Reads a result.
    ///
    /// - Throws: ``ChannelError``.
    public init(_ frame: ChannelFrame) throws(ChannelError) {
        guard frame.type == ChannelResult.type else { throw .unknownType(frame.type) }
        let reader = ByteReader(bytes: frame.payload)
        guard frame.payload.count >= Int(GUEST_CHANNEL_RESULT_SIZE),
            let status = Status(rawValue: reader.number(GUEST_CHANNEL_RESULT_STATUS))
        else { throw .malformed(type: frame.type) }
        self.init(status)
        error = reader.number(GUEST_CHANNEL_RESULT_ERROR)
        address = reader.number(GUEST_CHANNEL_RESULT_ADDRESS)
        data = reader.rest(from: GUEST_CHANNEL_RESULT_SIZE)
    }

    /// The type of a result's frame.
    static let type = UInt8(GUEST_CHANNEL_RESULT)

    /// The result of the command of number `id`, as a frame.
    ///
    /// - Throws: ``ChannelError/tooLong(byteCount:)`` for more data than a frame carries.
    public func frame(id: UInt32) throws(ChannelError) -> ChannelFrame {
        var writer = ByteWriter()
        writer.append(UInt32(status.rawValue))
        writer.append(error)
        writer.append(address)
        return try ChannelFrame(type: ChannelResult.type, id: id, payload: writer.bytes + data)
    }
}
