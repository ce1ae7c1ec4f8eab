/// The number of a pending hand-over, unique within its controller.
public struct TicketID: RawRepresentable, Sendable, Hashable, Comparable, Codable {
    /// The number.
    public let rawValue: UInt64

    /// A ticket with the given number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders tickets by age, the oldest first.
    public static func < (left: TicketID, right: TicketID) -> Bool { left.rawValue < right.rawValue }
}

extension TicketID: CustomStringConvertible {
    /// The number with a `#`.
    public var description: String { "#\(rawValue)" }
}
