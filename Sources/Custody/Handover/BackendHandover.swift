/// A back end's own name for a hand-over that it completes by itself.
public struct BackendHandover: RawRepresentable, Sendable, Hashable {
    /// The back end's number.
    public let rawValue: UInt64

    /// A hand-over with the back end's number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}
