import Custody

/// An upper bound on how often, or how fast, ownership changes: a conversion costs the host more than it costs a guest.
public struct RateLimit: Policy {
    /// What is counted.
    public enum Cost: String, Sendable, Hashable, CaseIterable {
        /// Requests that would change something.
        case requests
        /// Base pages that would change hands.
        case pages
    }

    /// The rate.
    public let rate: Rate
    /// What it counts.
    public let cost: Cost
    /// Whose requests it counts; the others pass.
    public let requesters: Set<RequesterKind>

    private let mark: String

    /// Bounds the rate of what `requesters` ask for.
    ///
    /// The `name` is what the rule's mark is called. Two limits that are to count apart have different names.
    public init(
        _ rate: Rate,
        of cost: Cost = .requests,
        by requesters: Set<RequesterKind> = [.guest],
        name: String = "rate"
    ) {
        self.rate = rate
        self.cost = cost
        self.requesters = requesters
        mark = name
    }

    /// Puts off, with the exact time, what comes too early. Of pages as many go on as are granted now, where a part is
    /// enough; more than a burst at once, where it must be all, is denied: it could never be granted.
    ///
    /// A request is counted when it is decided upon, and its parts are not counted again. Pages are counted when they are
    /// claimed: what other rules or the request's own limits leave out costs nothing.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard requesters.contains(request.requester.kind), cost == .pages || !view.isContinuation else { return .allow }
        let available = rate.available(at: view.now, memory[mark])
        let asked = cost == .requests ? 1 : changing(request, view)
        guard asked > available else {
            if cost == .requests { memory[mark] = rate.used(after: asked, at: view.now, memory[mark]) }
            return .allow
        }
        guard cost == .pages, case .prefix = request.extent else {
            guard let time = rate.time(of: asked, memory[mark]) else {
                return .deny(reason("\(asked) pages are more than the \(rate.burst) that there are at once"))
            }
            return .defer(until: time, reason(late))
        }
        // One unit of the back end always goes through a rate at rest, also where it is more than a burst.
        let unit = view.layout.granularity.pages
        let least = min(unit, rate.burst)
        guard available >= least,
            let part = view.prefix(
                of: request.range,
                atMost: max(unit, available),
                counting: { isChanging($0, request) }
            )
        else { return .defer(until: rate.time(of: least, memory[mark]), reason(late)) }
        return .clamp(to: part, reason(late))
    }

    /// Counts pages that begin to change hands.
    public func charge(_ request: ConversionRequest, in view: PolicyView, remembering memory: inout PolicyMemory) {
        guard requesters.contains(request.requester.kind), cost == .pages else { return }
        let count = changing(request, view)
        if count > 0 { memory[mark] = rate.used(after: count, at: view.now, memory[mark]) }
    }

    private var late: String {
        cost == .requests ? "requests come faster than the rate" : "pages change hands faster than the rate"
    }

    private func reason(_ text: String) -> PolicyReason { PolicyReason(rule: "rate", text) }

    private func isChanging(_ ownership: Ownership, _ request: ConversionRequest) -> Bool {
        ownership != request.target && ownership != .inTransit
    }

    private func changing(_ request: ConversionRequest, _ view: PolicyView) -> UInt64 {
        var count: UInt64 = 0
        for ownership in Ownership.allCases where isChanging(ownership, request) {
            count += view.pageCount(of: ownership, in: request.range)
        }
        return count
    }
}
