import CGuestChannel

/// One message between a guest and its host, as it stands in the byte stream: a header with a checksum, and a payload.
///
/// What the types mean is for ``ChannelRequest``, ``ChannelReply``, ``ChannelCommand`` and ``ChannelResult`` to say.
public struct ChannelFrame: Sendable, Hashable {
    /// The largest payload, in bytes.
    public static let maximumPayload = Int(GUEST_CHANNEL_MAXIMUM_PAYLOAD)
    /// The size of a header, in bytes.
    public static let headerSize = Int(GUEST_CHANNEL_HEADER_SIZE)
    /// The size of the largest frame, in bytes.
    public static let maximumSize = headerSize + maximumPayload

    /// The kind of message.
    public let type: UInt8
    /// A number that whoever asks chooses, and the answer repeats.
    public let id: UInt32
    /// The message itself, at most ``maximumPayload`` bytes.
    public let payload: [UInt8]

    /// A frame.
    ///
    /// - Throws: ``ChannelError/tooLong(byteCount:)`` for a payload that no frame can carry.
    public init(type: UInt8, id: UInt32, payload: [UInt8]) throws(ChannelError) {
        guard payload.count <= ChannelFrame.maximumPayload else { throw .tooLong(byteCount: payload.count) }
        self.init(unchecked: type, id, payload)
    }

    /// The caller vouches for the payload's size.
    init(unchecked type: UInt8, _ id: UInt32, _ payload: [UInt8]) {
        self.type = type
        self.id = id
        self.payload = payload
    }

    /// The frame as bytes of the stream.
    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.append(UInt32(GUEST_CHANNEL_MAGIC))
        writer.append(type)
        writer.append(UInt8(0))
        writer.append(UInt16(truncatingIfNeeded: payload.count))
        writer.append(id)
        var checksum = FrameChecksum()
        checksum.append(writer.bytes.span)
        checksum.append(payload.span)
        writer.append(checksum.value)
        return writer.bytes + payload
    }

    /// What either side may send at any time to be sure that its next frame is taken as one: so many zeroes end whatever
    /// frame a sender before it did not finish.
    public static let flush = [UInt8](repeating: 0, count: maximumSize)
}
