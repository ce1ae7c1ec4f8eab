import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Every rule of the table as a file writes it, beside the same rule in Swift.
struct RulePair: Sendable, CustomTestStringConvertible {
    let yaml: String
    let policy: any Policy

    init(_ yaml: String, _ policy: any Policy) {
        self.yaml = yaml
        self.policy = policy
    }

    var testDescription: String { yaml }

    private static func pages(_ start: UInt64, _ count: UInt64) throws -> PageRange {
        try PageRange(pages: start..<(start + count))
    }

    /// Files and Swift, written side by side by hand.
    static func all() throws -> [RulePair] {
        let rate = Rate(3, per: .milliseconds(10), burst: 3)
        return [
            RulePair("{}", AllowAll()),
            RulePair(
                "protect: [{at: 64KiB, size: 128K, never: shared}, {at: 0, size: 0x1000, never: [private, host]}]",
                AllOf([
                    ProtectedRange(try pages(16, 32), neverBecoming: [.shared]),
                    ProtectedRange(try pages(0, 1), neverBecoming: [.private, .host]),
                ])
            ),
            RulePair("shared-budget: 64KiB", SharedBudget(pages: 16)),
            RulePair("shared-budget: {size: 128 KiB}", SharedBudget(pages: 32)),
            RulePair("shared-budget: {size: 128KiB, over: clamp}", SharedBudget(pages: 32, over: .clamp)),
            RulePair("shared-budget: {size: 0, over: deny}", SharedBudget(pages: 0, over: .deny)),
            RulePair(
                "private-by-default: {windows: [{at: 32KiB, size: 64KiB}, {at: 64KiB, size: 256KiB}]}",
                SharingWindows([try pages(8, 16), try pages(16, 64)])
            ),
            RulePair("private-by-default: {windows: []}", SharingWindows([])),
            RulePair("alignment: {minimum: 16KiB}", Alignment(unit: .base, minimumPages: 4)),
            RulePair("alignment: {unit: 2MiB}", Alignment(unit: .large)),
            RulePair("rate: {count: 3, per: 10ms}", RateLimit(rate)),
            RulePair(
                "rate: {count: 40, per: 1s, burst: 9, of: pages, by: [host, device]}",
                RateLimit(Rate(40, per: .seconds(1), burst: 9), of: .pages, by: [.host, .device])
            ),
            RulePair(
                "storm: {count: 3, per: 10ms, for: 1ms, shut-out: 2ms, at-most: 1s}",
                StormDefence(rate, for: .milliseconds(1), shutOut: .milliseconds(2), atMost: .seconds(1))
            ),
            RulePair(
                "storm: {count: 3, per: 10ms, burst: 1, for: 0ns, shut-out: 1ms, at-most: 1ms, by: host}",
                StormDefence(
                    Rate(3, per: .milliseconds(10), burst: 1),
                    for: .zero,
                    shutOut: .milliseconds(1),
                    atMost: .milliseconds(1),
                    by: [.host]
                )
            ),
            RulePair("deadline: 5ms", Terms.deadline(.milliseconds(5))),
            RulePair("time-box: 1min", Terms.timeBox(.seconds(60))),
            RulePair(
                "retry: {first: 2ms, at-most: 1s, attempts: 4}",
                Terms.retry(Backoff(first: .milliseconds(2), longest: .seconds(1), attempts: 4))
            ),
            RulePair(
                "retry: {first: 1ms, at-most: 1ms}",
                Terms.retry(Backoff(first: .milliseconds(1), longest: .milliseconds(1), attempts: .max))
            ),
            RulePair(
                "initiators: {shared: [guest], private: [guest, host], host: []}",
                Initiators([.shared: [.guest], .private: [.guest, .host], .host: []])
            ),
            RulePair("initiators: {shared: device}", Initiators([.shared: [.device]])),
            RulePair("lock-down: {after: launched}", LockDown(after: "launched")),
            RulePair("deny: not today", Deny("not today")),
            RulePair(
                "all-of: [{deadline: 5ms}, {shared-budget: 64KiB}]",
                AllOf([Terms.deadline(.milliseconds(5)), SharedBudget(pages: 16)])
            ),
            RulePair(
                """
                first-of:
                  - when: {by: guest, to: [shared, host], within: {at: 64KiB, size: 128KiB}}
                    policy: {rate: {count: 3, per: 10ms}}
                  - when: {by: [host, device], meeting: {at: 0, size: 64KiB}}
                    policy: {deny: that is the guest's}
                  - policy: {first-of: [{when: {to: private}, policy: {}}, {policy: {storm: \
                {count: 3, per: 10ms, for: 1ms, shut-out: 2ms, at-most: 1s}}}]}
                """,
                FirstOf([
                    .init(
                        when: RequestMatcher(
                            requesters: [.guest],
                            targets: [.shared, .host],
                            within: try pages(16, 32)
                        ),
                        RateLimit(rate, name: "first-of/1/policy/rate")
                    ),
                    .init(
                        when: RequestMatcher(requesters: [.host, .device], meeting: try pages(0, 16)),
                        Deny("that is the guest's")
                    ),
                    .init(
                        FirstOf([
                            .init(when: RequestMatcher(targets: [.private]), AllowAll()),
                            .init(
                                StormDefence(
                                    rate,
                                    for: .milliseconds(1),
                                    shutOut: .milliseconds(2),
                                    atMost: .seconds(1),
                                    name: "first-of/3/policy/first-of/2/policy/storm"
                                )
                            ),
                        ])
                    ),
                ])
            ),
            RulePair(
                """
                per-range:
                  - {at: 0, size: 128KiB, policy: {shared-budget: {size: 32KiB, over: clamp}}}
                  - {at: 128KiB, size: 128KiB, policy: {deny: devices only}}
                """,
                AllOf([
                    PerRange(try pages(0, 32), SharedBudget(pages: 8, over: .clamp)),
                    PerRange(try pages(32, 32), Deny("devices only")),
                ])
            ),
            // Two of a kind count apart.
            RulePair(
                "{rate: {count: 3, per: 10ms}, all-of: [{rate: {count: 40, per: 1s, of: pages}}, {rate: {count: 9, per: 1s}}]}",
                AllOf([
                    RateLimit(rate),
                    RateLimit(Rate(40, per: .seconds(1), burst: 40), of: .pages, name: "all-of/1/rate"),
                    RateLimit(Rate(9, per: .seconds(1), burst: 9), name: "all-of/2/rate"),
                ])
            ),
        ]
    }
}

@Suite struct PolicyFileTests {
    private func read(_ yaml: String) throws(ConfigurationError) -> any Policy {
        let node = try YAMLReader.read(yaml, file: "policy.yaml")
        return try PolicyFormat.format.read(node, Site(key: "policy")).value
    }

    /// The same decision, reason and terms included, and the same memory after it, over a history by chance.
    @Test(arguments: try RulePair.all())
    func aFileDecidesAsTheSameInSwift(pair: RulePair) throws {
        let policy = try read(pair.yaml)
        var chance = Chance(random: SplitMix64(seed: 7))
        var verdicts: Set<PolicyDecision> = []
        for _ in 0..<100 {
            var memories = [PolicyMemory(), PolicyMemory()]
            var now = Timestamp.zero
            for _ in 0..<12 {
                now = now.advanced(by: .microseconds(Int.random(in: 0...2000, using: &chance.random)))
                if Int.random(in: 0..<30, using: &chance.random) == 0 {
                    for index in memories.indices { memories[index]["launched"] = now }
                }
                let request = try chance.request()
                let view = try chance.view(now)
                let read = policy.decide(request, in: view, remembering: &memories[0])
                let written = pair.policy.decide(request, in: view, remembering: &memories[1])
                #expect(read == written, "\(request) at \(now)")
                #expect(memories[0] == memories[1])
                verdicts.insert(read)
            }
        }
        #expect(pair.yaml == "{}" || verdicts.contains { $0 != .allow }, "the rule has something to say")
    }

    @Test func everyRuleHasItsPair() throws {
        guard case .object(let schema) = SchemaDocument.policy.value, case .object(let keys)? = schema["properties"]
        else { return #expect(Bool(false), "a policy is a mapping") }
        let files = try RulePair.all().map(\.yaml)
        for rule in keys.keys { #expect(files.contains { $0.contains(rule + ":") }, "\(rule) is not tested") }
        #expect(keys.count == 15)
    }

    /// The rule that decides is called what its key is called.
    @Test func decisionsNameTheRule() throws {
        for (yaml, rule, target) in [
            ("protect: [{at: 0, size: 1MiB, never: private}]", "protect", Ownership.private),
            ("shared-budget: 0", "shared-budget", .shared),
            ("private-by-default: {windows: []}", "private-by-default", .shared),
            ("alignment: {minimum: 1GiB}", "alignment", .private), ("deny: no", "deny", .private),
            ("initiators: {private: []}", "initiators", .private),
            ("lock-down: {after: launched}", "lock-down", .shared),
            ("deadline: 1ms", "deadline", .private), ("time-box: 1ms", "time-box", .shared),
            ("retry: {first: 1ms, at-most: 1ms}", "retry", .private),
            ("rate: {count: 1, per: 1s, of: pages}", "rate", .private),
            ("storm: {count: 1, per: 1s, for: 0ns, shut-out: 1s, at-most: 1s}", "storm", .private),
        ] {
            let policy = try read(yaml)
            var chance = Chance(random: SplitMix64(seed: 1))
            var memory = PolicyMemory()
            memory["launched"] = .zero
            var decision = PolicyDecision.allow
            for _ in 0..<3 {
                var request = try chance.request()
                request.range = try PageRange(pages: 2..<60)
                request.requester = .guest(processor: 0)
                request.target = target
                let view = try chance.view(.zero, all: target == .shared ? .private : .shared)
                decision = policy.decide(request, in: view, remembering: &memory)
            }
            #expect(decision.reason?.rule == rule, "\(yaml)")
        }
    }

    /// Nothing is rounded, raised or passed over in silence.
    @Test(
        arguments: [
            ("shared-budget: 5000", "1:16: error: 5000 B must be a multiple of 4 KiB"),
            (
                "shared-budget: {size: 1MiB, over: clmap}",
                "1:35: error: unknown value of ‘over’ ‘clmap’; did you mean ‘clamp’? (accepted: defer, clamp, deny)"
            ),
            (
                "shared-budget: []",
                "1:16: error: ‘shared-budget’ must be a size such as 4096, 4KiB, 2M or 256MiB, not a list"
            ),
            ("protect: [{at: 0, size: 4KiB, never: []}]", nil),
            (
                "protect: [{at: 0, size: 4KiB, never: [host, host]}]",
                "1:38: error: a value of ‘never’ stands there twice"
            ),
            (
                "protect: [{at: 0, size: 4KiB, never: in-transit}]",
                "1:38: error: unknown value of ‘never’ ‘in-transit’ (accepted: shared, private, host)"
            ),
            (
                "rate: {count: 0, per: 1s}",
                "1:15: error: ‘count’ must be a whole number from 1 to 9223372036854775807, not ‘0’"
            ),
            (
                "rate: {cuont: 1, per: 1s}",
                "1:8: error: unknown key ‘cuont’; did you mean ‘count’? (accepted: burst, by, count, of, per)"
            ),
            ("rate: {count: 1, per: 0s}", "1:23: error: the time must be at least 1 ns"),
            ("rate: {count: 11, per: 10ns}", "1:7: error: 11 in 10 ns are more than one a nanosecond"),
            ("rate: {count: 1}", "1:7: error: the key ‘per’ is missing here"),
            (
                "rate: {count: 1, per: 1s, by: [guest, root]}",
                "1:39: error: unknown value of ‘by’ ‘root’; did you mean ‘host’? (accepted: guest, host, device)"
            ),
            (
                "storm: {count: 1, per: 1s, for: 0ns, shut-out: 2s, at-most: 1s}",
                "1:8: error: ‘at-most’ must not be less than ‘shut-out’"
            ),
            ("retry: {first: 999us, at-most: 1s}", "1:16: error: the time must be at least 1 ms"),
            ("retry: {first: 2ms, at-most: 1ms}", "1:8: error: ‘at-most’ must not be less than ‘first’"),
            (
                "retry: {first: 2ms, at-most: 2ms, attempts: 0}",
                "1:45: error: ‘attempts’ must be a whole number from 1 to 9223372036854775807, not ‘0’"
            ),
            ("alignment: {minimum: 0}", "1:22: error: 0 B must be a multiple of 4 KiB and at least 4 KiB"),
            ("lock-down: {after: rate}", "1:20: error: a mark has not the name of a rule, ‘rate’"),
            (
                "lock-down: {after: storm/until}",
                "1:20: error: a name has letters, digits, ‘.’, ‘_’ and ‘-’ only, unlike ‘storm/until’"
            ),
            ("deny: ''", "1:7: error: ‘deny’ is empty"),
            ("deny: {}", "1:7: error: ‘deny’ must be text, not a mapping"),
            ("all-of: {}", "1:9: error: ‘all-of’ must be a list, not a mapping"),
            ("all-of: [policy.yaml]", "1:10: error: expected keys with values, not ‘policy.yaml’"),
            ("first-of: [{when: {}}]", "1:12: error: the key ‘policy’ is missing here"),
            (
                "first-of: [{when: {within: {at: 1, size: 1}}, policy: {}}]",
                "1:28: error: the range is not a multiple of 4 KiB"
            ),
            (
                "per-range: [{at: 0, size: 4KiB, policy: {first-of: [{policy: {sotrm: 1}}]}}]",
                "1:63: error: unknown key ‘sotrm’; did you mean ‘storm’?"
            ),
            ("deadline: 0s", "1:11: error: the time must be at least 1 ns"),
            (
                "time-box: 99999999999999999999s",
                "1:11: error: ‘time-box’ must be a time such as 500ns, 10us, 20ms or 1s, not ‘99999999999999999999s’"
            ),
        ] as [(String, String?)]
    )
    func mistakes(yaml: String, message: String?) {
        var text: String?
        do throws(ConfigurationError) { _ = try read(yaml) } catch { text = "\(error)" }
        guard let message else { return #expect(text == nil) }
        #expect(text?.hasPrefix("policy.yaml:" + message) == true, "\(text ?? "accepted")")
    }

    @Test func limitsOfEveryKind() throws {
        let text = """
            {pending: 1, pending-in-total: 2, runs-per-request: 3, bytes-per-request: 16KiB, guest-deadline: 5ms,
             holes: {limit: 1MiB}}
            """
        func limits(_ text: String) throws(ConfigurationError) -> ControllerLimits {
            try LimitsFormat.format.read(YAMLReader.read(text, file: "x"), Site(key: "limits")).value
        }
        #expect(
            try limits(text)
                == ControllerLimits(
                    pendingHandovers: 1,
                    pendingInTotal: 2,
                    runsPerGuestRequest: 3,
                    pagesPerGuestRequest: 4,
                    guestDeadline: .milliseconds(5),
                    holes: .limit(pages: 256)
                )
        )
        #expect(try limits("{holes: ignore}") == ControllerLimits(holes: .ignore))
        #expect(try limits("") == ControllerLimits())
        #expect(throws: ConfigurationError.self) { try limits("{bytes-per-request: 0}") }
        #expect(throws: ConfigurationError.self) { try limits("{holes: {limit: 1}}") }
        #expect(throws: ConfigurationError.self) { try limits("{holes: {}}") }
    }

    @Test func guestsThatNameTheSamePoolAreInIt() throws {
        func configuration(_ pool: String) throws -> Configuration {
            let text = "backend: simulation\nguest: {memory: [{at: 0, size: 1MiB}]}\n" + pool
            return try Configuration(
                YAMLReader.read(text, file: "vm.yaml"),
                registry: BackendRegistry([SimulationProvider()])
            )
        }
        let pools = SharedPools()
        let first = try pools.pool(for: configuration("pool: {name: host, shared: 64KiB}"))
        #expect(first?.pages == 16)
        #expect(try pools.pool(for: configuration("pool: {name: host, shared: 0x10000}")) === first)
        #expect(try pools.pool(for: configuration("pool: {name: other, shared: 0}"))?.pages == 0)
        #expect(try pools.pool(for: configuration("")) == nil)
        let error = #expect(throws: ConfigurationError.self) {
            try pools.pool(for: configuration("pool: {name: host, shared: 128KiB}"))
        }
        #expect(
            error?.description == "vm.yaml:3:7: error: the pool ‘host’ has another size at vm.yaml:3:7: 64 KiB"
        )
    }

    @Test func whatWasUnderstoodIsSaid() throws {
        let text = """
            backend: simulation
            guest: {memory: [{at: 0, size: 1MiB}]}
            policy:
              rate: {count: 3, per: 1500us}
              first-of: [{when: {by: guest}, policy: {deny: no}}]
            limits: {pending: 7}
            """
        let configuration = try Configuration(
            YAMLReader.read(text, file: "vm.yaml"),
            registry: BackendRegistry([SimulationProvider()])
        )
        let account = Dictionary(uniqueKeysWithValues: configuration.account.map { ($0.section, $0.lines) })
        #expect(
            account["policy"] == [
                "rate: {count: 3, per: 1.5 ms, of: requests, by: guest}",
                "first-of: [{when: {by: guest}, policy: {deny: no}}]",
            ]
        )
        #expect(
            account["limits"] == [
                "pending: 7", "pending-in-total: 65536", "runs-per-request: 512", "bytes-per-request: 1 GiB",
                "holes: reject",
            ]
        )
        #expect(account["guest"]?.first == "processors: 1")
    }
}

/// Requests and views by chance.
private struct Chance {
    var random: SplitMix64

    mutating func range() throws -> PageRange {
        let start = UInt64.random(in: 0...100, using: &random)
        return try PageRange(pages: start..<(start + UInt64.random(in: 1...60, using: &random)))
    }

    mutating func request() throws -> ConversionRequest {
        let requesters: [Requester] = [.guest(processor: 0), .guest(processor: 3), .host("vmm"), .device("nic")]
        let targets: [Ownership] = [.shared, .shared, .private, .host]
        return ConversionRequest(
            try range(),
            to: targets.randomElement(using: &random) ?? .shared,
            by: requesters.randomElement(using: &random) ?? .host("vmm"),
            extent: Bool.random(using: &random) ? .all : .prefix(maximumRuns: 8)
        )
    }

    mutating func view(_ now: Timestamp, all ownership: Ownership? = nil) throws -> PolicyView {
        let layout = try GuestMemoryLayout(regions: [PageRange(pages: 0..<64), PageRange(pages: 80..<160)])
        var map = PageRunMap(bounds: layout.bounds, state: ownership ?? .private)
        if ownership == nil {
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                map.set(try range(), to: Ownership.allCases.randomElement(using: &random) ?? .shared)
            }
        }
        return PolicyView(
            ownership: map,
            layout: layout,
            capabilities: SimulationBackend(guest: GuestConfiguration(layout: layout)).capabilities,
            tally: OwnershipTally(map, of: layout),
            ledger: LeaseLedger(),
            now: now
        )
    }
}
