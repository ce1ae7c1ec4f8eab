public import Custody

/// A rate with room for bursts: the generic cell rate algorithm (ITU-T I.371, virtual scheduling).
///
/// One point in time is all that it remembers: when everything granted so far would be used up at the exact rate. In any
/// span of time it grants at most ``burst`` units and one more for each ``interval``.
public struct Rate: Sendable, Hashable {
    /// The largest number of units at once; at least 1.
    public let burst: UInt64
    /// The nanoseconds between two units, rounded up so that the rate is never exceeded; at least 1.
    public let interval: UInt64

    /// So many units in each period, and at most `burst` of them at once.
    ///
    /// No unit counts as one, and no time as a nanosecond.
    public init(_ count: UInt64, per period: Duration, burst: UInt64) {
        let nanoseconds = max(1, Timestamp.zero.advanced(by: period).rawValue)
        let count = max(1, count)
        interval = (nanoseconds - 1) / count + 1
        self.burst = max(1, burst)
    }

    /// The number of units that are granted now.
    public func available(at now: Timestamp, _ used: Timestamp?) -> UInt64 {
        guard let used, used > now else { return burst }
        let ahead = used.rawValue - now.rawValue
        let units = (ahead - 1) / interval + 1
        return units < burst ? burst - units : 0
    }

    /// When so many units are granted, unless others are before; `nil` for more than there can ever be at once.
    public func time(of count: UInt64, _ used: Timestamp?) -> Timestamp? {
        guard count <= burst else { return nil }
        let slack = product(burst - count, interval)
        guard let used, used.rawValue > slack else { return .zero }
        return Timestamp(rawValue: used.rawValue - slack)
    }

    /// What is remembered once so many units have been granted.
    public func used(after count: UInt64, at now: Timestamp, _ used: Timestamp?) -> Timestamp {
        let (sum, overflow) = max(now, used ?? now).rawValue.addingReportingOverflow(product(count, interval))
        return Timestamp(rawValue: overflow ? .max : sum)
    }

    private func product(_ one: UInt64, _ other: UInt64) -> UInt64 {
        let (product, overflow) = one.multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }
}
