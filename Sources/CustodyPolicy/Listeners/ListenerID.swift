/// A listener's number within its controller. Listeners that joined later have higher ones.
public struct ListenerID: RawRepresentable, Sendable, Hashable, Comparable {
    /// The number.
    public let rawValue: UInt64

    /// The listener of the given number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders listeners by when they joined.
    public static func < (left: ListenerID, right: ListenerID) -> Bool { left.rawValue < right.rawValue }
}
