/// Durations, and what they come to.
public struct DurationSample: Sendable, Equatable {
    private var sorted: [Duration] = []
    private var isSorted = true

    /// None yet.
    public init() {}

    /// Adds one.
    public mutating func add(_ duration: Duration) {
        isSorted = isSorted && (sorted.last ?? duration) <= duration
        sorted.append(duration)
    }

    /// How many there are.
    public var count: Int { sorted.count }

    /// All of them together.
    public var sum: Duration { sorted.reduce(.zero, +) }

    /// The least one that so many hundredths of them do not exceed (nearest rank); zero where there is none.
    ///
    /// - Complexity: O(*n* log *n*) unless they were added in their order.
    public func percentile(_ percent: Int) -> Duration {
        let values = isSorted ? sorted : sorted.sorted()
        guard !values.isEmpty else { return .zero }
        let rank = (values.count * min(max(percent, 0), 100) + 99) / 100
        return values[max(0, rank - 1)]
    }
}
