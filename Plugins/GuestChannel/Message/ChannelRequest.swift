import CGuestChannel
public import Custody

/// What a guest asks of its host. The numbers are as they came in: nothing of them has been checked.
public enum ChannelRequest: Sendable, Hashable {
    /// The versions that the guest speaks, and what it takes.
    case hello(lowest: UInt16, highest: UInt16, features: ChannelFeatures)
    /// These bytes shall be in that ownership.
    case convert(address: UInt64, byteCount: UInt64, to: Ownership)
    /// Who has the first of these bytes, and how many from there on?
    case query(address: UInt64, byteCount: UInt64)

    /// A type of request that no version has: what a guest asks with for an ownership that nobody can ask for.
    static let none: UInt8 = 0x3f

    /// The request's type.
    public var type: UInt8 {
        switch self {
        case .hello: UInt8(GUEST_CHANNEL_HELLO)
        case .convert(_, _, .shared): UInt8(GUEST_CHANNEL_SHARE)
        case .convert(_, _, .private): UInt8(GUEST_CHANNEL_UNSHARE)
        case .convert(_, _, .host): UInt8(GUEST_CHANNEL_GIVE_BACK)
        case .convert(_, _, .inTransit): ChannelRequest.none
        case .query: UInt8(GUEST_CHANNEL_QUERY)
        }
    }

    /// The request as a frame.
    public func frame(id: UInt32) -> ChannelFrame {
        var writer = ByteWriter()
        switch self {
        case .hello(let lowest, let highest, let features):
            writer.append(lowest)
            writer.append(highest)
            writer.append(features.rawValue)
        case .convert(let address, let byteCount, _), .query(let address, let byteCount):
            writer.append(address)
            writer.append(byteCount)
        }
        return ChannelFrame(unchecked: type, id, writer.bytes)
    }

    /// Reads a request.
    ///
    /// - Throws: ``ChannelError``.
    public init(_ frame: ChannelFrame) throws(ChannelError) {
        let reader = ByteReader(bytes: frame.payload)
        let address: UInt64 = reader.number(GUEST_CHANNEL_RANGE_ADDRESS)
        let byteCount: UInt64 = reader.number(GUEST_CHANNEL_RANGE_COUNT)
        var size = GUEST_CHANNEL_REQUEST_SIZE
        switch Int32(frame.type) {
        case GUEST_CHANNEL_HELLO:
            size = GUEST_CHANNEL_HELLO_SIZE
            self = .hello(
                lowest: reader.number(GUEST_CHANNEL_HELLO_LOWEST),
                highest: reader.number(GUEST_CHANNEL_HELLO_HIGHEST),
                features: ChannelFeatures(rawValue: reader.number(GUEST_CHANNEL_HELLO_FEATURES))
            )
        case GUEST_CHANNEL_SHARE: self = .convert(address: address, byteCount: byteCount, to: .shared)
        case GUEST_CHANNEL_UNSHARE: self = .convert(address: address, byteCount: byteCount, to: .private)
        case GUEST_CHANNEL_GIVE_BACK: self = .convert(address: address, byteCount: byteCount, to: .host)
        case GUEST_CHANNEL_QUERY: self = .query(address: address, byteCount: byteCount)
        default: throw .unknownType(frame.type)
        }
        guard frame.payload.count == Int(size) else { throw .malformed(type: frame.type) }
    }
}
