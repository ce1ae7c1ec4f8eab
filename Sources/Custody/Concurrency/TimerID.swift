/// An executor's own name for work that it is to do later.
public struct TimerID: RawRepresentable, Sendable, Hashable {
    /// The executor's number.
    public let rawValue: UInt64

    /// A timer with the executor's number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}
