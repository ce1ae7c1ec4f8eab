import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// The laws of composition, for rules, requests and views by chance.
@Suite struct CompositionTests {
    private static let rounds = 3000

    private func scene(_ name: String) -> (PolicyScene, String) {
        let (random, note) = Seed.generator(name)
        return (PolicyScene(random: random), note)
    }

    @Test func combinationIsCommutativeAssociativeAndIdempotent() throws {
        var (scene, note) = scene("combination")
        for _ in 0..<Self.rounds {
            let (a, b, c) = (try scene.decision(), try scene.decision(), try scene.decision())
            #expect(a.combined(with: b).effect == b.combined(with: a).effect, "\(note): \(a); \(b)")
            let left = a.combined(with: b).combined(with: c)
            let right = a.combined(with: b.combined(with: c))
            #expect(left.effect == right.effect, "\(note): \(a); \(b); \(c)")
            #expect(a.combined(with: a).effect == a.effect, "\(note): \(a)")
            #expect(
                a.combined(with: .allow).effect == a.effect && PolicyDecision.allow.combined(with: a) == a,
                "\(note)"
            )
            let isDenied = a.verdict == .deny || b.verdict == .deny
            #expect((a.combined(with: b).verdict == .deny) == isDenied, "\(note): a denial wins")
        }
    }

    /// The same question has the same answer, and leaves the same memory: a history can be decided once more.
    @Test func policiesArePure() throws {
        var (scene, note) = scene("purity")
        var verdicts: Set<String> = []
        for _ in 0..<Self.rounds {
            let policy = try scene.policy(named: "p")
            var memory = try scene.memory(of: [policy])
            let (request, view) = (
                try scene.request(), try scene.view(isContinuation: Bool.random(using: &scene.random))
            )
            var again = memory
            let first = policy.decide(request, in: view, remembering: &memory)
            let second = policy.decide(request, in: view, remembering: &again)
            #expect(first == second && memory == again, "\(note): \(request)")
            if first.reason == nil { #expect(first == .allow, "\(note): who stops a request says why") }
            verdicts.insert("\("\(first)".prefix(3))")
        }
        #expect(verdicts == ["all", "cla", "lat", "den"], "\(note): every verdict has been met")
    }

    @Test func allOfDoesNotDependOnTheOrder() throws {
        var (scene, note) = scene("order")
        for _ in 0..<Self.rounds {
            let rules = try (0..<Int.random(in: 0...6, using: &scene.random)).map { try scene.rule(named: "rule\($0)") }
            let before = try scene.memory(of: rules)
            let (request, view) = (try scene.request(), try scene.view())
            var (one, other) = (before, before)
            let decision = AllOf(rules).decide(request, in: view, remembering: &one)
            let shuffled = AllOf(rules.shuffled(using: &scene.random)).decide(request, in: view, remembering: &other)
            #expect(decision.effect == shuffled.effect, "\(note): \(request)")
            #expect(one == other, "\(note): what is remembered")
        }
    }

    @Test func oneMoreRuleNeverMakesAnythingLooser() throws {
        var (scene, note) = scene("stricter")
        for _ in 0..<Self.rounds {
            let rules = try (0..<Int.random(in: 0...4, using: &scene.random)).map {
                try scene.policy(named: "rule\($0)")
            }
            let more = try scene.policy(named: "more")
            let before = try scene.memory(of: rules + [more])
            let (request, view) = (try scene.request(), try scene.view())
            func decide(_ policy: any Policy) -> PolicyDecision {
                var memory = before
                return policy.decide(request, in: view, remembering: &memory)
            }
            let base = decide(AllOf(rules))
            let both = decide(AllOf(rules + [more]))
            #expect(both.reach(of: request) <= base.reach(of: request), "\(note): \(base); \(both)")
            #expect(both.reach(of: request) <= decide(more).reach(of: request), "\(note)")
            #expect(decide(AllOf(rules + [Deny("x")])).verdict == .deny, "\(note): a denial wins")
            #expect(decide(AllOf(rules + [AllowAll()])) == base, "\(note)")
            #expect(decide(AllOf([AllOf(rules), more])).effect == both.effect, "\(note): nested or flat")
            #expect(decide(AllOf([])) == .allow)
        }
    }

    @Test func theFirstCaseThatIsMeantDecidesAlone() throws {
        var (scene, note) = scene("first-of")
        for _ in 0..<Self.rounds {
            let cases = try (0..<4).map { FirstOf.Case(when: try scene.matcher(), try scene.rule(named: "case\($0)")) }
            let before = try scene.memory(of: cases.map(\.policy))
            let (request, view) = (try scene.request(), try scene.view())
            var (memory, alone) = (before, before)
            let decision = FirstOf(cases).decide(request, in: view, remembering: &memory)
            let meant = cases.first { $0.matcher.matches(request) }
            let expected = meant?.policy.decide(request, in: view, remembering: &alone) ?? .allow
            #expect(decision == expected && memory == alone, "\(note): \(request)")
        }
    }

    /// Where no request is meant by two cases, their order means nothing.
    @Test func disjointCasesHaveNoOrder() throws {
        var (scene, note) = scene("disjoint cases")
        for _ in 0..<Self.rounds {
            var cases: [FirstOf.Case] = []
            for (index, kind) in RequesterKind.allCases.enumerated() {
                for (other, target) in [Ownership.shared, .private, .host].enumerated() {
                    let matcher = RequestMatcher(requesters: [kind], targets: [target])
                    cases.append(.init(when: matcher, try scene.rule(named: "\(index).\(other)")))
                }
            }
            let before = try scene.memory(of: cases.map(\.policy))
            let (request, view) = (try scene.request(), try scene.view())
            var (one, other) = (before, before)
            let decision = FirstOf(cases).decide(request, in: view, remembering: &one)
            let shuffled = FirstOf(cases.shuffled(using: &scene.random)).decide(request, in: view, remembering: &other)
            #expect(decision == shuffled && one == other, "\(note): \(request)")
        }
    }

    @Test func aRangeIsNobodyElsesBusiness() throws {
        var (scene, note) = scene("per range")
        for _ in 0..<Self.rounds {
            let rule = try scene.policy(named: "p")
            let range = try scene.range()
            let policy = PerRange(range, rule)
            let before = try scene.memory(of: [rule])
            let (request, view) = (try scene.request(), try scene.view())
            var (one, other) = (before, before)
            let decision = policy.decide(request, in: view, remembering: &one)
            let own = rule.decide(request, in: view, remembering: &other)
            if !request.range.overlaps(range) { #expect(decision == .allow && one == before, "\(note)") }
            if range.contains(request.range) {
                #expect(decision.reach(of: request) == own.reach(of: request), "\(note): \(decision); \(own)")
                #expect(one == other, "\(note)")
            }
            if case .clampTo(let clamp) = decision.verdict, request.range.start < range.start {
                #expect(clamp.start == request.range.start, "\(note): what is before the range goes on")
            }
        }
    }

    /// A clamp of the pages in the range lets through what is before them, and of them what it says, if that is their start.
    @Test(arguments: [(8..<12, 12), (8..<16, 16), (6..<9, 9), (10..<12, 8)] as [(Range<UInt64>, UInt64)])
    func aClampOfARangeLetsThroughWhatIsBefore(clamp: Range<UInt64>, end: UInt64) throws {
        struct Clamping: Policy {
            let range: PageRange
            func decide(
                _ request: ConversionRequest,
                in view: PolicyView,
                remembering memory: inout PolicyMemory
            ) -> PolicyDecision { .clamp(to: range, PolicyReason(rule: "test", "no more")) }
        }
        let policy = PerRange(try PageRange(pages: 8..<16), Clamping(range: try PageRange(pages: clamp)))
        let fixture = try ControllerFixture(initially: .private, policy: policy)
        let outcome = try fixture.convert(4..<16, to: .shared, extent: .prefix(maximumRuns: 8))
        #expect(outcome.isCompleted == (end == 16) && outcome.changedPages == end - 4)
        #expect(fixture.map.prefix(20).dropFirst(Int(end)).allSatisfy { $0 == "P" })
    }

    @Test func aLargerBudgetIsNeverStricter() throws {
        var (scene, note) = scene("monotone budgets")
        var isClamped = false
        for _ in 0..<Self.rounds {
            let (request, view, excess) = (try scene.request(), try scene.view(), scene.excess())
            let pages = UInt64.random(in: 0...100, using: &scene.random)
            let more = pages + UInt64.random(in: 0...30, using: &scene.random)
            func decide(_ pages: UInt64, _ excess: SharedBudget.Excess) -> PolicyDecision {
                var memory = PolicyMemory()
                return SharedBudget(pages: pages, over: excess).decide(request, in: view, remembering: &memory)
            }
            let small = decide(pages, excess)
            #expect(small.reach(of: request) <= decide(more, excess).reach(of: request), "\(note)")
            #expect(decide(.max, excess) == .allow, "\(note)")
            // What a clamp lets through fits, and one page more would not.
            if case .clampTo(let clamp) = small.verdict {
                isClamped = true
                let left = pages - view.tally.exposed
                func added(_ range: PageRange) -> UInt64 {
                    view.pageCount(of: .private, in: range) + view.pageCount(of: .host, in: range)
                }
                #expect(clamp.start == request.range.start && added(clamp) <= left, "\(note)")
                let next = try PageRange(start: clamp.start, count: clamp.count + 1)
                #expect(added(next) > left, "\(note): \(clamp) is all that fits")
            }
        }
        #expect(isClamped)
    }
}
