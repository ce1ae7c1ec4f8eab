/// Why bytes are no message.
public enum ChannelError: Error, Sendable, Hashable {
    /// The payload is larger than a frame can carry.
    case tooLong(byteCount: Int)
    /// The payload is not what the type needs.
    case malformed(type: UInt8)
    /// There is no such type.
    case unknownType(UInt8)
}

extension ChannelError: CustomStringConvertible {
    /// One sentence that says what is wrong with the message.
    public var description: String {
        switch self {
        case .tooLong(let count): "a payload of \(count) bytes, and a frame carries \(ChannelFrame.maximumPayload)"
        case .malformed(let type): "the payload is not what type 0x\(String(type, radix: 16)) needs"
        case .unknownType(let type): "there is no type 0x\(String(type, radix: 16))"
        }
    }
}
