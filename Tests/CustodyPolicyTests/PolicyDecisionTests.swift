import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

@Suite struct PolicyDecisionTests {
    @Test func thePolicyIsAskedOnceAndOnlyWhereSomethingWouldChange() throws {
        let fixture = try ControllerFixture()
        try fixture.convert(0..<8, to: .private)
        #expect(fixture.policy.asked == 1)
        try fixture.convert(0..<8, to: .private)
        try fixture.convert(2..<4, to: .private)
        #expect(fixture.policy.asked == 1, "it is so already")
        try fixture.convert(4..<12, to: .private)
        #expect(fixture.policy.asked == 2)
        _ = try fixture.refusal(60..<99, to: .private)
        _ = try fixture.refusal(0..<1, to: .inTransit)
        #expect(fixture.policy.asked == 2, "what is not legal is not put to it")
        try fixture.convert(0..<64, to: .shared, extent: .prefix(maximumRuns: 100))
        #expect(fixture.policy.asked == 3, "once for a request, not for a run")
    }

    @Test func denied() throws {
        let fixture = try ControllerFixture(policy: FixedPolicy(decision: .denied("not you")))
        #expect(try fixture.refusal(0..<4, to: .private) == .denied)
        #expect(fixture.backend.calls.isEmpty)
        #expect(!fixture.map.contains("P"))
        #expect(
            fixture.controller.handle(GuestRequest(processor: 0, address: 0, byteCount: 4096, target: .private))
                == .refused
        )
        #expect(try fixture.convert(0..<4, to: .shared).isCompleted, "nothing would change")
    }

    @Test func later() throws {
        let fixture = try ControllerFixture(policy: FixedPolicy(decision: .laterOn("busy hour")))
        let outcome = try fixture.convert(0..<4, to: .private)
        #expect(outcome.isDeferred && outcome.stoppedAt == PageNumber(0) && outcome.changedPages == 0)
        #expect(fixture.backend.calls.isEmpty)
        let reply = fixture.controller.handle(
            GuestRequest(processor: 0, address: 8192, byteCount: 4096, target: .private)
        )
        #expect(reply == .retry(from: GuestPhysicalAddress(8192)))
    }

    /// Whoever is put off is sent to the first page that is not as asked yet.
    @Test(arguments: [ConversionRequest.Extent.all, .prefix(maximumRuns: 8)])
    func laterFromWhereItIsNotDone(extent: ConversionRequest.Extent) throws {
        let policy = FirstOf([
            .init(when: RequestMatcher(requesters: [.guest]), FixedPolicy(decision: .laterOn("busy hour")))
        ])
        let fixture = try ControllerFixture(policy: policy)
        try fixture.convert(0..<3, to: .private)
        let outcome = try fixture.convert(0..<8, to: .private, by: .guest(processor: 0), extent: extent)
        #expect(outcome.isDeferred && outcome.stoppedAt == PageNumber(3) && outcome.changedPages == 0)
    }

    @Test func theStricterDecisionCounts() {
        let all: [PolicyDecision] = [.allow, .laterOn("l"), .denied("d")]
        for (i, one) in all.enumerated() {
            for (j, other) in all.enumerated() { #expect(one.combined(with: other) == all[max(i, j)]) }
        }
        #expect(PolicyDecision.denied("a").combined(with: .denied("b")) == .denied("a"))
    }

    /// A time that is known counts more than one that is not.
    @Test func theLaterOfTwoTimesCounts() {
        func later(_ nanoseconds: UInt64?) -> PolicyDecision {
            .defer(until: nanoseconds.map(Timestamp.init(rawValue:)), PolicyReason(rule: "test", "wait"))
        }
        #expect(later(5).combined(with: later(9)) == later(9))
        #expect(later(9).combined(with: later(5)) == later(9))
        #expect(later(nil).combined(with: later(5)) == later(5))
        #expect(later(5).combined(with: later(nil)) == later(5))
        #expect(later(nil).combined(with: later(nil)) == later(nil))
    }

    @Test func allOfIsTheStrictest() throws {
        let allow = AllowAll()
        let later = FixedPolicy(decision: .laterOn("l"))
        let deny = FixedPolicy(decision: .denied("d"))
        #expect(try ControllerFixture(policy: AllOf([])).refusal(0..<1, to: .private) == nil)
        #expect(try ControllerFixture(policy: AllOf([allow])).refusal(0..<1, to: .private) == nil)
        #expect(try ControllerFixture(policy: AllOf([allow, deny, later])).refusal(0..<1, to: .private) == .denied)
        #expect(try ControllerFixture(policy: AllOf([later, deny])).refusal(0..<1, to: .private) == .denied)
        #expect(try ControllerFixture(policy: AllOf([allow, later])).convert(0..<1, to: .private).isDeferred)
    }

    /// Pages of the host's that become shared count as those of the guest's do.
    @Test(arguments: [Ownership.private, .host]) func sharedBudgetOfAnybodysPages(initially: Ownership) throws {
        let fixture = try ControllerFixture(initially: initially, policy: SharedBudget(pages: 4, over: .deny))
        #expect(try fixture.refusal(0..<5, to: .shared) == .denied)
        #expect(try fixture.refusal(0..<4, to: .shared) == nil)
        #expect(try fixture.refusal(8..<9, to: .shared) == .denied)
    }

    @Test func protectedRange() throws {
        let policy = ProtectedRange(try PageRange(pages: 10..<20), neverBecoming: [.shared])
        let fixture = try ControllerFixture(initially: .private, policy: policy)
        #expect(try fixture.refusal(0..<10, to: .shared) == nil)
        #expect(try fixture.refusal(20..<30, to: .shared) == nil)
        for pages in [5..<11, 19..<21, 12..<13, 0..<64] as [Range<UInt64>] {
            #expect(try fixture.refusal(pages, to: .shared) == .denied)
        }
        #expect(try fixture.refusal(12..<13, to: .host) == nil)
    }

    @Test func sharedBudget() throws {
        let fixture = try ControllerFixture(initially: .private, policy: SharedBudget(pages: 8))
        #expect(try fixture.convert(0..<8, to: .shared).isCompleted)
        #expect(try fixture.convert(8..<9, to: .shared).isDeferred)
        #expect(try fixture.convert(4..<8, to: .shared).isCompleted, "they are shared already")
        #expect(try fixture.convert(4..<9, to: .shared).isDeferred)
        #expect(try fixture.convert(0..<1, to: .private).isCompleted)
        #expect(try fixture.convert(4..<9, to: .shared).isCompleted)
        #expect(try fixture.convert(0..<1, to: .shared).isDeferred)
    }

    @Test func aPolicySeesWhoHoldsWhat() throws {
        struct NobodyHolds: Policy {
            func decide(
                _ request: ConversionRequest,
                in view: PolicyView,
                remembering memory: inout PolicyMemory
            ) -> PolicyDecision {
                guard view.holders(of: request.range).isEmpty else { return .denied("held") }
                guard view.ownership(of: request.range.start) == .shared else { return .denied("not shared") }
                let isAll = view.pageCount(of: .shared, in: request.range) == request.range.count
                return isAll ? .allow : .denied("mixed")
            }
        }
        let fixture = try ControllerFixture(policy: NobodyHolds())
        let lease = try fixture.lease(3..<4)
        #expect(try fixture.refusal(0..<4, to: .private) == .denied)
        #expect(try fixture.refusal(0..<3, to: .private) == nil)
        lease.release()
    }
}

extension PolicyDecision {
    fileprivate static func laterOn(_ text: String) -> PolicyDecision { .defer(PolicyReason(rule: "test", text)) }
    fileprivate static func denied(_ text: String) -> PolicyDecision { .deny(PolicyReason(rule: "test", text)) }
}
