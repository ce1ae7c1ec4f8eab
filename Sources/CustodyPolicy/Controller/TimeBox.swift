import Custody

/// Until when pages are shared that become private again by themselves.
struct TimeBox: Sendable, Hashable {
    /// When their time is over.
    let due: Timestamp
    /// The time after which those still shared are asked for once more: first that which they were given, then longer each
    /// time.
    let period: Duration
}
