import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Synchronization
import Testing

/// What a decision may cost, and what a rule is charged for.
@Suite struct PolicyCostTests {
    private let guest = Requester.guest(processor: 0)

    /// A fixture of which every other page is shared, the first one private.
    private func fragmented(
        _ pages: UInt64,
        _ policy: any Policy,
        limits: ControllerLimits = ControllerLimits(runsPerGuestRequest: 8)
    ) throws -> ControllerFixture {
        let fixture = try ControllerFixture(pages: 0..<pages, initially: .private, policy: policy, limits: limits)
        for page in stride(from: 1, to: pages, by: 2) { try fixture.convert(page..<(page + 1), to: .shared) }
        return fixture
    }

    private func ask(_ fixture: ControllerFixture, _ pages: Range<UInt64>, _ target: Ownership) -> GuestReply {
        fixture.controller.handle(
            GuestRequest(
                processor: 0,
                address: pages.lowerBound * 4096,
                byteCount: UInt64(pages.count) * 4096,
                target: target
            )
        )
    }

    /// Notes what it is asked about.
    private final class Notes: Policy {
        let asked = Locked<[(request: PageRange, whole: PageRange?)]>([])
        let charged = Locked<[PageRange]>([])
        let clamp: PageRange?

        init(clampingTo clamp: PageRange? = nil) { self.clamp = clamp }

        func decide(
            _ request: ConversionRequest,
            in view: PolicyView,
            remembering memory: inout PolicyMemory
        ) -> PolicyDecision {
            guard request.requester.kind == .guest else { return .allow }
            asked.withLock { $0.append((request.range, view.asked)) }
            guard view.isContinuation, let clamp else { return .allow }
            return .clamp(to: clamp, PolicyReason(rule: "notes", "no more now"))
        }

        func charge(_ request: ConversionRequest, in view: PolicyView, remembering memory: inout PolicyMemory) {
            if request.requester.kind == .guest { charged.withLock { $0.append(request.range) } }
        }
    }

    /// A policy is asked about what the limits let through, whatever the size and the state of the guest's memory.
    @Test(arguments: [64, 1024] as [UInt64])
    func aPolicyIsAskedAboutWhatTheLimitsLetThrough(pages: UInt64) throws {
        let notes = Notes()
        let fixture = try fragmented(pages, notes)
        #expect(ask(fixture, 0..<pages, .shared) == .retry(from: GuestPhysicalAddress(8 * 4096)))
        let asked = notes.asked.withLock { $0 }
        #expect(asked.first?.request == (try PageRange(pages: 0..<8)), "eight runs, of \(pages)")
        #expect(asked.dropFirst().map(\.request) == (try [0, 2, 4, 6].map { try PageRange(pages: $0..<($0 + 1)) }))
        #expect(asked.allSatisfy { $0.whole == (try? PageRange(pages: 0..<pages)) })
        #expect(notes.charged.withLock { $0 } == asked.dropFirst().map(\.request))
    }

    /// A hand-over is charged when its pages are claimed, once, and with the pages that were asked for.
    @Test func aHandOverIsCharged() throws {
        let notes = Notes()
        let fixture = try ControllerFixture(policy: notes)
        let pin = try fixture.lease(3..<4)
        let range = try PageRange(pages: 0..<8)
        #expect(try fixture.convert(0..<8, to: .private, by: guest).ticket != nil)
        #expect(notes.charged.withLock { $0 } == [range])
        #expect(try fixture.convert(0..<8, to: .private, by: guest).ticket != nil, "joined, and nothing new begins")
        pin.release()
        fixture.clock.drain()
        #expect(notes.charged.withLock { $0 } == [range])
        let mapping = try fixture.lease(20..<21, .mapping)
        #expect(try fixture.convert(16..<24, to: .private, by: guest).blockers?.count == 1)
        #expect(notes.charged.withLock { $0 } == [range], "what is blocked costs nothing")
        mapping.release()
    }

    /// A rule of some pages is asked about these, sees that these were asked for, and is charged for these.
    @Test func aRuleOfARangeKnowsOfNoOtherPages() throws {
        let notes = Notes()
        let own = try PageRange(pages: 4..<12)
        let fixture = try ControllerFixture(
            pages: 0..<32,
            policy: AllOf([PerRange(own, notes), PerRange(try PageRange(pages: 20..<24), notes)])
        )
        func taken() -> (asked: [PageRange], wholes: [PageRange?], charged: [PageRange]) {
            let asked = notes.asked.withLock { asked in
                defer { asked = [] }
                return asked
            }
            let charged = notes.charged.withLock { charged in
                defer { charged = [] }
                return charged
            }
            return (asked.map(\.request), asked.map(\.whole), charged)
        }
        func check(_ pages: Range<UInt64>, _ extent: ConversionRequest.Extent, _ parts: [Range<UInt64>]) throws {
            let isShared = fixture.controller.ownership(of: PageNumber(pages.lowerBound)) == .shared
            try fixture.convert(pages, to: isShared ? .private : .shared, by: guest, extent: extent)
            let expected = try parts.map { try PageRange(pages: $0) }
            let (asked, wholes, charged) = taken()
            #expect(Set(asked) == Set(expected) && charged == expected, "\(pages), \(extent)")
            #expect(wholes == asked, "\(pages), \(extent)")
        }
        for extent in [ConversionRequest.Extent.all, .prefix(maximumRuns: 8, maximumPages: 64)] {
            try check(0..<32, extent, [4..<12, 20..<24])
            try check(6..<10, extent, [6..<10])
            try check(6..<10, extent, [6..<10])
            try check(0..<5, extent, [4..<5])
            try check(0..<5, extent, [4..<5])
            try check(11..<21, extent, [11..<12, 20..<21])
            try check(11..<21, extent, [11..<12, 20..<21])
            try check(12..<20, extent, [])
            try check(12..<20, extent, [])
        }
    }

    /// Runs in the way of the limits are passed over although nothing changes in them.
    @Test func limitsThatEndBeforeAnythingChanges() throws {
        let limits = ControllerLimits(runsPerGuestRequest: 1)
        let notes = Notes()
        let fixture = try fragmented(16, notes, limits: limits)
        #expect(ask(fixture, 1..<16, .shared) == .retry(from: GuestPhysicalAddress(2 * 4096)))
        #expect(fixture.map == "PSPSPSPSPSPSPSPS")
        #expect(ask(fixture, 2..<16, .shared) == .retry(from: GuestPhysicalAddress(3 * 4096)))
    }

    /// A rule that lets less through when a part is carried out stops the request there; nothing is passed over.
    @Test func aPartThatIsClampedEndsTheRequest() throws {
        let notes = Notes(clampingTo: try PageRange(pages: 0..<6))
        let fixture = try ControllerFixture(pages: 0..<16, initially: .private, policy: notes)
        #expect(ask(fixture, 0..<16, .shared) == .retry(from: GuestPhysicalAddress(6 * 4096)))
        #expect(fixture.map == "SSSSSSPPPPPPPPPP")
    }

    /// The rate of pages is charged for those that change: not for what the limits leave out, nor other rules.
    @Test func aRateIsChargedForWhatChanges() throws {
        let rate = Rate(1000, per: .seconds(1), burst: 4096)
        func used(_ rules: [any Policy], _ pages: UInt64) throws -> UInt64? {
            let fixture = try fragmented(pages, AllOf([RateLimit(rate, of: .pages)] + rules))
            _ = ask(fixture, 0..<pages, .shared)
            return fixture.controller.snapshot().memory["rate"].map { $0.rawValue / rate.interval }
        }
        #expect(try used([], 64) == 4)
        #expect(try used([], 1024) == 4)
        #expect(try used([SharedBudget(pages: 513, over: .clamp)], 1024) == 1)
        #expect(try used([forGuest(Deny("never"))], 1024) == nil)
        // All or nothing: what is as asked already costs nothing either.
        let fixture = try fragmented(64, RateLimit(rate, of: .pages))
        #expect(try fixture.convert(0..<8, to: .shared, by: guest).isCompleted)
        #expect(fixture.controller.snapshot().memory["rate"].map { $0.rawValue / rate.interval } == 4)
    }

    /// The case that decides is the one that is charged.
    @Test func theCaseThatIsMeantIsCharged() throws {
        let (first, second, third) = (Notes(), Notes(), Notes())
        let cases: [FirstOf.Case] = [
            .init(when: RequestMatcher(targets: [.host]), first), .init(second), .init(third),
        ]
        let fixture = try ControllerFixture(policy: FirstOf(cases))
        try fixture.convert(0..<4, to: .private, by: guest)
        try fixture.convert(8..<12, to: .host, by: guest)
        #expect(first.charged.withLock { $0 } == [try PageRange(pages: 8..<12)])
        #expect(second.charged.withLock { $0 } == [try PageRange(pages: 0..<4)])
        #expect(third.charged.withLock { $0 }.isEmpty)
    }

    /// A part that fits ends where a unit of ownership does.
    @Test func aPrefixIsOfWholeUnits() throws {
        let layout = try GuestMemoryLayout(regions: [PageRange(pages: 0..<2048)], granularity: .large)
        let map = PageRunMap(bounds: layout.bounds, state: Ownership.private)
        let view = PolicyView(
            ownership: map,
            layout: layout,
            capabilities: SimulationBackend(guest: GuestConfiguration(layout: layout)).capabilities,
            tally: OwnershipTally(map, of: layout),
            ledger: LeaseLedger(),
            now: .zero
        )
        func prefix(_ most: UInt64) -> UInt64? {
            view.prefix(of: layout.bounds, atMost: most) { $0 == .private }?.count
        }
        #expect(prefix(511) == nil && prefix(512) == 512 && prefix(700) == 512 && prefix(1024) == 1024)
        #expect(prefix(2047) == 1536 && prefix(2048) == 2048)
    }

    /// A policy for the guest alone.
    private func forGuest(_ policy: any Policy) -> any Policy {
        FirstOf([.init(when: RequestMatcher(requesters: [.guest]), policy)])
    }

    /// What the limits leave for the next time counts for the shape of a run.
    @Test func alignmentJudgesTheWholeRequest() throws {
        let fixture = try fragmented(1024, forGuest(Alignment(unit: .large)))
        #expect(ask(fixture, 0..<1024, .shared) == .retry(from: GuestPhysicalAddress(8 * 4096)))
        #expect(ask(fixture, 8..<1024, .shared) == .retry(from: GuestPhysicalAddress(16 * 4096)))
        #expect(ask(fixture, 16..<1000, .shared) == .refused, "it ends off the boundaries")
    }

    /// What a rule asks of the view is answered by sums, and not run by run.
    @Test func countsInAViewLookAtFew() throws {
        func calls(_ pages: UInt64) throws -> Int {
            let layout = try GuestMemoryLayout(pages: 0..<pages)
            var map = PageRunMap(bounds: layout.bounds, state: Ownership.private)
            for page in stride(from: 1, to: pages, by: 2) { map.set(try PageRange(PageNumber(page)), to: .shared) }
            let view = PolicyView(
                ownership: map,
                layout: layout,
                capabilities: SimulationBackend(guest: GuestConfiguration(layout: layout)).capabilities,
                tally: OwnershipTally(map, of: layout),
                ledger: LeaseLedger(),
                now: .zero
            )
            var calls = 0
            let prefix = view.prefix(of: layout.bounds, atMost: pages / 2 - 1) {
                calls += 1
                return $0 == .private
            }
            #expect(prefix == (try PageRange(pages: 0..<(pages - 2))))
            #expect(view.pageCount(of: .private, in: try PageRange(pages: 1..<pages)) == pages / 2 - 1)
            return calls
        }
        let (few, many) = (try calls(1 << 12), try calls(1 << 16))
        #expect(few <= 256 && many <= 512, "\(few) for 4096 runs, \(many) for 65536")
    }

    /// Numbers of pages up to those of the whole address space are sums that do not trap.
    @Test func sumsOfAllPagesDoNotTrap() throws {
        let all = try GuestMemoryLayout(pages: 0..<(PageNumber.last.rawValue + 1))
        let map = PageRunMap(bounds: all.bounds, state: Ownership.shared)
        #expect(OwnershipTally(map, of: all).shared == 1 << 52)
        #expect(all.bounds.byteCount == .max)
    }
}
