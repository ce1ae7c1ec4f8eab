import Custody

/// Shuts a guest out for a while that asks too often for long, and for longer each time: a guest that does nothing but
/// convert must not have the host do nothing but that.
///
/// It counts what is asked for, whatever other rules make of it. Who is not counted is not affected.
public struct StormDefence: Policy {
    /// More than this is a storm.
    public let rate: Rate
    /// How long a storm may last.
    public let patience: Duration
    /// How long the guest is shut out the first time; twice as long each further time.
    public let first: Duration
    /// The longest time that it is shut out. Who has been calm for so long begins with `first` again.
    public let longest: Duration
    /// Whose requests are counted.
    public let requesters: Set<RequesterKind>

    private let usedMark: String
    private let sinceMark: String
    private let fromMark: String
    private let untilMark: String

    /// Shuts out who asks faster than `rate` for longer than `patience`, without ever coming to rest.
    ///
    /// The `name` is what the rule's marks begin with.
    public init(
        _ rate: Rate,
        for patience: Duration,
        shutOut first: Duration,
        atMost longest: Duration,
        by requesters: Set<RequesterKind> = [.guest],
        name: String = "storm"
    ) {
        self.rate = rate
        self.patience = patience
        self.first = max(.milliseconds(1), first)
        self.longest = max(self.first, longest)
        self.requesters = requesters
        usedMark = name + "/used"
        sinceMark = name + "/since"
        fromMark = name + "/from"
        untilMark = name + "/until"
    }

    /// Puts everything off until the end of the time that the guest is shut out.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard requesters.contains(request.requester.kind), !view.isContinuation else { return .allow }
        let now = view.now
        if let end = memory[untilMark], now < end { return shutOut(until: end) }
        let used = memory[usedMark]
        if used ?? .zero <= now { memory[sinceMark] = nil }
        guard rate.available(at: now, used) == 0 else {
            memory[usedMark] = rate.used(after: 1, at: now, used)
            return .allow
        }
        guard let since = memory[sinceMark] else {
            memory[sinceMark] = now
            return .allow
        }
        guard now.since(since) >= patience else { return .allow }
        let end = now.advanced(by: length(at: now, memory))
        memory[sinceMark] = nil
        memory[fromMark] = now
        memory[untilMark] = end
        return shutOut(until: end)
    }

    private func length(at now: Timestamp, _ memory: PolicyMemory) -> Duration {
        guard let from = memory[fromMark], let until = memory[untilMark], now.since(until) < longest else {
            return first
        }
        return min(longest, until.since(from) * 2)
    }

    private func shutOut(until end: Timestamp) -> PolicyDecision {
        .defer(until: end, PolicyReason(rule: "storm", "too many requests for too long"))
    }
}
