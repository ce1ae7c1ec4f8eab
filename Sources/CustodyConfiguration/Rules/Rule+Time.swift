import Custody
import CustodyOptions
import CustodyPolicy

/// Rules about when, how often and for how long.
extension Rule {
    static let time: [Rule] = [
        Rule(
            "rate",
            "The most requests, or pages, in a period.",
            Format<RateLimit>.mapping(
                .required("count", .integer(in: 1...Int.max), "So many in each period."),
                .required("per", .duration(atLeast: .nanoseconds(1)), "The period."),
                .optional("burst", .integer(in: 1...Int.max), "The most at once; `count` unless named."),
                .defaulting("of", Format<RateLimit.Cost>.word(), to: "requests", "What is counted."),
                counted,
                .location,
                .site
            ) { (count, period, burst, cost, requesters, location, site) throws(ConfigurationError) in
                RateLimit(
                    try rate(count, period, burst, location),
                    of: cost,
                    by: requesters,
                    name: site.path.joined(separator: "/")
                )
            }
        ),
        Rule(
            "storm",
            "Shuts out for a while who asks too often for long, and for longer each time.",
            Format<StormDefence>.mapping(
                .required("count", .integer(in: 1...Int.max), "More than so many requests in a period are a storm."),
                .required("per", .duration(atLeast: .nanoseconds(1)), "The period."),
                .optional("burst", .integer(in: 1...Int.max), "The most at once; `count` unless named."),
                .required("for", .duration(), "How long a storm may last."),
                .required("shut-out", .duration(atLeast: .milliseconds(1)), "The first time that it is shut out for."),
                .required("at-most", .duration(atLeast: .milliseconds(1)), "The longest time that it is shut out for."),
                counted,
                .location,
                .site
            ) {
                (count, period, burst, patience, first, longest, requesters, location, site)
                    throws(ConfigurationError) in
                StormDefence(
                    try rate(count, period, burst, location),
                    for: patience,
                    shutOut: first,
                    atMost: try ordered(first, longest, "shut-out", location),
                    by: requesters,
                    name: site.path.joined(separator: "/")
                )
            }
        ),
        Rule(
            "deadline",
            "The time after which a hand-over is given up.",
            Format<Duration>.duration(atLeast: .nanoseconds(1)).map { (time, _) in Terms.deadline(time) }
        ),
        Rule(
            "time-box",
            "The time after which shared pages become private again by themselves.",
            Format<Duration>.duration(atLeast: .nanoseconds(1)).map { (time, _) in Terms.timeBox(time) }
        ),
        Rule(
            "retry",
            "How often, and after what time, a back end is asked again that cannot say when to.",
            Format<Terms>.mapping(
                .required("first", .duration(atLeast: .milliseconds(1)), "The wait before the second attempt."),
                .required("at-most", .duration(atLeast: .milliseconds(1)), "The longest wait: each is twice the last."),
                .optional(
                    "attempts",
                    .integer(in: 1...Int.max),
                    "The attempts before it is given up; no end unless named."
                ),
                .location
            ) { (first, longest, attempts, location) throws(ConfigurationError) in
                Terms.retry(
                    Backoff(
                        first: first,
                        longest: try ordered(first, longest, "first", location),
                        attempts: attempts ?? .max
                    )
                )
            }
        ),
    ]

    /// Whose requests a rule counts.
    private static let counted = Key<Set<RequesterKind>>.defaulting(
        "by",
        .set(of: .word()),
        to: "guest",
        "Whose requests are counted."
    )

    private static func rate(
        _ count: Int,
        _ period: Duration,
        _ burst: Int?,
        _ location: SourceLocation
    ) throws(ConfigurationError) -> Rate {
        guard period / count >= .nanoseconds(1) else {
            throw ConfigurationError("\(count) in \(period.text) are more than one a nanosecond", at: location)
        }
        return Rate(UInt64(count), per: period, burst: UInt64(burst ?? count))
    }

    private static func ordered(
        _ first: Duration,
        _ longest: Duration,
        _ key: String,
        _ location: SourceLocation
    ) throws(ConfigurationError) -> Duration {
        guard first <= longest else {
            throw ConfigurationError("‘at-most’ must not be less than ‘\(key)’", at: location)
        }
        return longest
    }
}
