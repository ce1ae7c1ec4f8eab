/// When something that did not work is tried again: after `first`, then twice as long each time, up to `longest`.
public struct Backoff: Sendable, Hashable, Codable {
    /// The wait before the second attempt.
    public let first: Duration
    /// The longest wait.
    public let longest: Duration
    /// The number of attempts after which it is given up; at least 1.
    public let attempts: Int

    /// The default: from 1 ms up to 100 ms, without end.
    public static let standard = Backoff(first: .milliseconds(1), longest: .milliseconds(100), attempts: .max)

    /// A back-off. What is less than a millisecond counts as one, and there is at least one attempt.
    public init(first: Duration, longest: Duration, attempts: Int) {
        self.first = max(.milliseconds(1), first)
        self.longest = max(self.first, longest)
        self.attempts = max(1, attempts)
    }

    /// Reads a back-off, with the bounds of ``init(first:longest:attempts:)``.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            first: try container.decode(Duration.self, forKey: .first),
            longest: try container.decode(Duration.self, forKey: .longest),
            attempts: try container.decode(Int.self, forKey: .attempts)
        )
    }

    private enum CodingKeys: String, CodingKey {
        case first, longest, attempts
    }

    /// The wait after so many attempts, or `nil` where there is to be no further one.
    public func wait(afterAttempts count: Int) -> Duration? {
        guard count < attempts else { return nil }
        // 2³⁰ ms is longer than anybody's longest wait that is worth waiting for.
        let factor = 1 << min(max(0, count - 1), 30)
        return first > longest / factor ? longest : first * factor
    }
}

extension Backoff: Comparable {
    /// Orders by what gives up first, then by what asks more often.
    public static func < (left: Backoff, right: Backoff) -> Bool {
        (left.attempts, left.longest, left.first) < (right.attempts, right.longest, right.first)
    }
}
