import Custody

/// Until when pages are shared that become private again by themselves.
struct TimeBox: Sendable, Hashable {
    /// When their time is over.
    let due: Timestamp
    /// The time that they were given, and after which those still shared are asked for once more.
    let period: Duration
}
