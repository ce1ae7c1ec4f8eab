import CGuestChannel

/// What a guest at the other end of a channel takes beside answers to its own requests.
public struct ChannelFeatures: OptionSet, Sendable, Hashable {
    /// The bits.
    public let rawValue: UInt32

    /// Features by their bits; bits without a name are kept.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// It says hello when it is told to, and makes requests that it is told to make.
    public static let commands = ChannelFeatures(rawValue: UInt32(GUEST_CHANNEL_FEATURE_COMMANDS))
    /// It stores and loads bytes.
    public static let memory = ChannelFeatures(rawValue: UInt32(GUEST_CHANNEL_FEATURE_MEMORY))
    /// It puts memory blocks to use, takes them out of use, and keeps memory busy.
    public static let memoryBlocks = ChannelFeatures(rawValue: UInt32(GUEST_CHANNEL_FEATURE_MEMORY_BLOCKS))
    /// It accepts, refuses or ignores the removal of devices as it is told.
    public static let removal = ChannelFeatures(rawValue: UInt32(GUEST_CHANNEL_FEATURE_REMOVAL))
}
