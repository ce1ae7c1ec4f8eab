import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend

/// Requests, views and policies by chance: what the laws of composition are held against.
struct PolicyScene {
    var random: SplitMix64

    /// Layouts of one to four regions with holes between them, and any ownership of any run.
    mutating func view(isContinuation: Bool = false) throws -> PolicyView {
        var regions: [PageRange] = []
        var page = UInt64.random(in: 0...8, using: &random)
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let count = UInt64.random(in: 1...40, using: &random)
            regions.append(try PageRange(pages: page..<(page + count)))
            page += count + UInt64.random(in: 1...20, using: &random)
        }
        let layout = try GuestMemoryLayout(regions: regions)
        var map = PageRunMap(bounds: layout.bounds, state: ownership())
        for _ in 0..<Int.random(in: 0...12, using: &random) { map.set(try range(), to: ownership()) }
        return PolicyView(
            ownership: map,
            layout: layout,
            capabilities: SimulationBackend(guest: GuestConfiguration(layout: layout)).capabilities,
            tally: OwnershipTally(map, of: layout),
            ledger: LeaseLedger(),
            now: Timestamp(rawValue: UInt64.random(in: 0...5_000_000_000, using: &random)),
            pendingHandovers: Int.random(in: 0...3, using: &random),
            isContinuation: isContinuation
        )
    }

    mutating func range() throws -> PageRange {
        let start = UInt64.random(in: 0...120, using: &random)
        return try PageRange(pages: start..<(start + UInt64.random(in: 1...60, using: &random)))
    }

    mutating func ownership() -> Ownership { Ownership.allCases.randomElement(using: &random) ?? .shared }

    mutating func target() -> Ownership {
        [Ownership.shared, .shared, .private, .host].randomElement(using: &random) ?? .shared
    }

    mutating func request() throws -> ConversionRequest {
        let requesters: [Requester] = [.guest(processor: 0), .guest(processor: 3), .host("vmm"), .device("nic")]
        return ConversionRequest(
            try range(),
            to: target(),
            by: requesters.randomElement(using: &random) ?? .host("vmm"),
            extent: Bool.random(using: &random) ? .all : .prefix(maximumRuns: 8)
        )
    }

    mutating func kinds() -> Set<RequesterKind> {
        Set(RequesterKind.allCases.filter { _ in Bool.random(using: &random) })
    }

    mutating func duration() -> Duration { .milliseconds(Int.random(in: 0...2000, using: &random)) }

    /// A rule of any kind. Its marks, where it has some, begin with `name`.
    mutating func rule(named name: String) throws -> any Policy {
        switch Int.random(in: 0..<13, using: &random) {
        case 0: return AllowAll()
        case 1: return ProtectedRange(try range(), neverBecoming: [target()])
        case 2: return SharedBudget(pages: UInt64.random(in: 0...80, using: &random), over: excess())
        case 3: return SharingWindows(try (0..<Int.random(in: 0...4, using: &random)).map { _ in try range() })
        case 4: return Initiators([.shared: kinds(), .private: kinds()])
        case 5: return LockDown(after: ["launched", "never"].randomElement(using: &random) ?? "")
        case 6: return Alignment(unit: .base, minimumPages: UInt64.random(in: 1...6, using: &random))
        case 7: return Terms.deadline(duration())
        case 8: return Terms.timeBox(duration())
        case 9: return Terms.retry(Backoff(first: duration(), longest: duration(), attempts: 3))
        case 10: return RateLimit(rate(), of: .pages, by: kinds(), name: name)
        case 11: return RateLimit(rate(), of: .requests, by: kinds(), name: name)
        default:
            return StormDefence(
                rate(),
                for: duration(),
                shutOut: duration(),
                atMost: duration(),
                by: kinds(),
                name: name
            )
        }
    }

    mutating func excess() -> SharedBudget.Excess {
        SharedBudget.Excess.allCases.randomElement(using: &random) ?? .deny
    }

    mutating func rate() -> Rate {
        Rate(
            UInt64.random(in: 1...200, using: &random),
            per: duration(),
            burst: UInt64.random(in: 1...40, using: &random)
        )
    }

    /// Rules in any composition.
    mutating func policy(named name: String, depth: Int = 3) throws -> any Policy {
        guard depth > 0, Bool.random(using: &random) else { return try rule(named: name) }
        switch Int.random(in: 0..<3, using: &random) {
        case 0:
            return AllOf(
                try (0..<Int.random(in: 0...4, using: &random)).map {
                    try policy(named: "\(name).\($0)", depth: depth - 1)
                }
            )
        case 1:
            return FirstOf(
                try (0..<Int.random(in: 0...3, using: &random)).map {
                    .init(when: try matcher(), try policy(named: "\(name).\($0)", depth: depth - 1))
                }
            )
        default: return PerRange(try range(), try policy(named: "\(name).p", depth: depth - 1))
        }
    }

    mutating func matcher() throws -> RequestMatcher {
        RequestMatcher(
            requesters: Bool.random(using: &random) ? nil : kinds(),
            targets: Bool.random(using: &random) ? nil : [target()],
            within: Int.random(in: 0..<3, using: &random) == 0 ? try range() : nil,
            meeting: Int.random(in: 0..<3, using: &random) == 0 ? try range() : nil
        )
    }

    /// What rules have remembered so far, and a mark of the host's.
    mutating func memory(of policies: [any Policy]) throws -> PolicyMemory {
        var memory = PolicyMemory()
        if Bool.random(using: &random) { memory["launched"] = Timestamp(rawValue: 1) }
        for _ in 0..<Int.random(in: 0...6, using: &random) {
            let (request, view) = (try request(), try view())
            for policy in policies {
                _ = policy.decide(request, in: view, remembering: &memory)
                policy.charge(request, in: view, remembering: &memory)
            }
        }
        return memory
    }

    mutating func decision() throws -> PolicyDecision {
        let reason = PolicyReason(rule: "r\(Int.random(in: 0...9, using: &random))", "why")
        let terms = PolicyTerms(
            deadline: Bool.random(using: &random) ? duration() : nil,
            returnsAfter: Bool.random(using: &random) ? duration() : nil,
            retry: Bool.random(using: &random)
                ? Backoff(first: duration(), longest: duration(), attempts: Int.random(in: 1...3, using: &random)) : nil
        )
        switch Int.random(in: 0..<9, using: &random) {
        case 0: return .deny(reason)
        case 1: return .defer(reason)
        case 2, 3: return .defer(until: Timestamp(rawValue: UInt64.random(in: 0...3, using: &random)), reason)
        case 4, 5, 6: return .clamp(to: try range(), reason, terms: terms)
        case 7: return .allow
        default: return .allow(terms, reason)
        }
    }
}

extension PolicyDecision {
    /// How far a request may go on: the first page that may not; smaller for a stricter decision.
    func reach(of request: ConversionRequest) -> Int {
        switch verdict {
        case .deny: -2
        case .deferUntil: -1
        case .clampTo(let range): range.contains(request.range.start) ? Int(min(range.end, request.range.end)) : 0
        case .allow: Int(request.range.end)
        }
    }

    /// All but the words.
    var effect: Effect { Effect(verdict: verdict, terms: terms) }

    struct Effect: Hashable {
        let verdict: Verdict
        let terms: PolicyTerms
    }
}
