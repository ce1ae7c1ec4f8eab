/// A point in a back end's time: real and monotonic, or virtual.
public struct Timestamp: RawRepresentable, Sendable, Hashable, Comparable, Codable {
    /// Nanoseconds since the back end was made.
    public let rawValue: UInt64

    /// A point so many nanoseconds after the back end was made.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The point at which time begins.
    public static let zero = Timestamp(rawValue: 0)

    /// The last point that there is. It does not come: a time that is too far away for a timestamp counts as this.
    public static let never = Timestamp(rawValue: .max)

    /// The point `duration` later, or ``never`` where that is too far away. A negative duration counts as none.
    public func advanced(by duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return self }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = product.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        let (end, wraps) = rawValue.addingReportingOverflow(sum)
        return overflow || carry || wraps ? .never : Timestamp(rawValue: end)
    }

    /// The time from `earlier` to here; none where `earlier` is later.
    public func since(_ earlier: Timestamp) -> Duration {
        .nanoseconds(Int64(clamping: rawValue >= earlier.rawValue ? rawValue - earlier.rawValue : 0))
    }

    /// Orders points from the earliest to the latest.
    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.rawValue < right.rawValue }
}
