/// A back end's own name for what it reserved for a change. It means nothing to anybody else.
public struct Reservation: RawRepresentable, Sendable, Hashable {
    /// The back end's number.
    public let rawValue: UInt64

    /// A reservation with the back end's number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}
