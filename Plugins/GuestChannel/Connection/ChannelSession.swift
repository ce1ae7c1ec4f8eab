import CGuestChannel
public import Custody

/// The host's side of the protocol, without the bytes: what it answers to each request of one guest.
///
/// It does no more than one thing for one frame, and keeps nothing of a request: what is pending is the handler's, whose
/// limits bound it.
public struct ChannelSession: Sendable {
    /// The versions that this side speaks.
    public static let versions: ClosedRange<UInt16> = 1...UInt16(GUEST_CHANNEL_VERSION)

    /// The version that both sides speak, or `nil` before the guest has said hello.
    public private(set) var version: UInt16?
    /// What the guest takes.
    public private(set) var features: ChannelFeatures = []

    private let granularity: PageSize

    /// A session with a guest whose ownership changes in units of `granularity`.
    public init(granularity: PageSize) { self.granularity = granularity }

    /// The answer to a frame, or `nil` to one that wants none.
    ///
    /// - Parameters:
    ///   - frame: What the guest sent.
    ///   - handler: Who decides about conversions, or `nil` where nobody does at the moment: the guest is told to ask again.
    ///   - queries: Who tells the guest what its pages are, likewise.
    public mutating func answer(
        _ frame: ChannelFrame,
        by handler: (any GuestRequestHandler)?,
        queries: (any GuestQueryHandler)?
    ) -> ChannelFrame? {
        // Answers are never answered, and commands are the host's: two ends that do not understand each other fall silent.
        guard frame.type < 0x40 else { return nil }
        return reply(to: frame, handler, queries).frame(id: frame.id)
    }

    private mutating func reply(
        to frame: ChannelFrame,
        _ handler: (any GuestRequestHandler)?,
        _ queries: (any GuestQueryHandler)?
    ) -> ChannelReply {
        let request: ChannelRequest
        do {
            request = try ChannelRequest(frame)
        } catch {
            guard version != nil || frame.type == UInt8(GUEST_CHANNEL_HELLO) else { return ChannelReply(.helloFirst) }
            if case .unknownType = error { return ChannelReply(.unknownType) }
            return ChannelReply(.malformed)
        }
        if case .hello(let lowest, let highest, let features) = request { return greet(lowest, highest, features) }
        guard version != nil else { return ChannelReply(.helloFirst) }
        switch request {
        case .hello: return ChannelReply(.malformed)
        case .convert(let address, let byteCount, let target):
            guard let handler else { return ChannelReply(.busy) }
            let asked = GuestRequest(processor: 0, address: address, byteCount: byteCount, target: target)
            return ChannelReply(saying: handler.handle(asked))
        case .query(let address, let byteCount):
            guard let queries else { return ChannelReply(.busy) }
            return ChannelSession.tell(address, byteCount, queries)
        }
    }

    private mutating func greet(_ lowest: UInt16, _ highest: UInt16, _ features: ChannelFeatures) -> ChannelReply {
        let common = min(highest, ChannelSession.versions.upperBound)
        guard common >= lowest, ChannelSession.versions.contains(common) else {
            version = nil
            self.features = []
            return ChannelReply(.noVersion)
        }
        version = common
        self.features = features
        var reply = ChannelReply(.done)
        reply.version = common
        reply.byteCount = granularity.bytes
        return reply
    }

    private static func tell(_ address: UInt64, _ byteCount: UInt64, _ queries: any GuestQueryHandler) -> ChannelReply {
        let start = GuestPhysicalAddress(address)
        guard byteCount > 0, let run = queries.run(containing: start.page) else { return ChannelReply(.refused) }
        var reply = ChannelReply(.done)
        reply.ownership = run.state
        reply.address = address
        // The run holds the address, so that what is left of it is less than the run.
        reply.byteCount = min(byteCount, run.range.byteCount - (address - run.range.address.rawValue))
        return reply
    }
}
