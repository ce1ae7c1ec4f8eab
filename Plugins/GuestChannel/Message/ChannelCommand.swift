import CGuestChannel

/// What a host tells a guest that takes commands.
public enum ChannelCommand: Sendable, Hashable {
    /// What a guest does when a memory device of its is to be removed.
    public enum Removal: UInt32, Sendable, Hashable, CaseIterable {
        /// Nothing: the removal stays pending.
        case ignore = 0
        /// It lets the device go.
        case accept = 1
        /// It says that the device is in use.
        case refuse = 2
    }

    /// What kind of allocations a memory block is used for.
    public enum Zone: UInt32, Sendable, Hashable, CaseIterable {
        /// As the guest's kernel sees fit.
        case any = 0
        /// Movable ones alone, so that the block can be taken out of use again.
        case movable = 1
        /// The kernel's too.
        case kernel = 2
    }

    /// Say hello, again.
    case greet
    /// Make that request, and tell the reply.
    case ask(ChannelRequest)
    /// Store these bytes, at most ``maximumData``.
    case write([UInt8], address: UInt64)
    /// Load so many bytes, at most ``maximumData``.
    case read(byteCount: Int, address: UInt64)
    /// What to do from now on when a memory device is to be removed.
    case removal(Removal)
    /// Use the memory blocks that these bytes are in.
    case online(address: UInt64, byteCount: UInt64, Zone)
    /// Stop using the memory blocks that these bytes are in.
    case offline(address: UInt64, byteCount: UInt64)
    /// Keep so many bytes of memory in use, in place of those before. The guest's kernel can move them elsewhere, unless
    /// they are pinned: then of every MiB one page stays where it is.
    case hold(byteCount: UInt64, pinned: Bool = false)

    /// The largest number of bytes that one command stores or loads.
    public static let maximumData = Int(GUEST_CHANNEL_MAXIMUM_DATA)

    /// The command as a frame.
    ///
    /// - Throws: ``ChannelError/tooLong(byteCount:)`` for more data than a frame carries.
    public func frame(id: UInt32) throws(ChannelError) -> ChannelFrame {
        let (type, address, byteCount, value, data) = fields
        var writer = ByteWriter()
        writer.append(address)
        writer.append(byteCount)
        writer.append(value)
        writer.append(UInt32(0))
        return try ChannelFrame(type: UInt8(type), id: id, payload: writer.bytes + data)
    }

    private var fields: (type: Int32, address: UInt64, byteCount: UInt64, value: UInt32, data: [UInt8]) {
        switch self {
        case .greet: (GUEST_CHANNEL_GREET, 0, 0, 0, [])
        case .ask(let request):
            switch request {
            case .hello: (GUEST_CHANNEL_GREET, 0, 0, 0, [])
            case .convert(let address, let byteCount, _), .query(let address, let byteCount):
                (GUEST_CHANNEL_ASK, address, byteCount, UInt32(request.type), [])
            }
        case .write(let bytes, let address): (GUEST_CHANNEL_WRITE, address, UInt64(bytes.count), 0, bytes)
        case .read(let byteCount, let address): (GUEST_CHANNEL_READ, address, UInt64(max(byteCount, 0)), 0, [])
        case .removal(let removal): (GUEST_CHANNEL_REMOVAL, 0, 0, removal.rawValue, [])
        case .online(let address, let byteCount, let zone):
            (GUEST_CHANNEL_ONLINE, address, byteCount, zone.rawValue, [])
        case .offline(let address, let byteCount): (GUEST_CHANNEL_OFFLINE, address, byteCount, 0, [])
        case .hold(let byteCount, let isPinned): (GUEST_CHANNEL_HOLD, 0, byteCount, isPinned ? 1 : 0, [])
        }
    }
}
