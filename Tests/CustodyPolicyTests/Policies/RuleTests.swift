import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Each rule by itself, through a controller in virtual time.
@Suite struct RuleTests {
    private let guest = Requester.guest(processor: 0)

    private func fixture(
        _ policy: any Policy,
        initially ownership: Ownership = .private
    ) throws -> ControllerFixture {
        try ControllerFixture(initially: ownership, policy: policy)
    }

    private func until(_ outcome: ConversionOutcome) -> Timestamp? {
        guard case .deferred(let time, _) = outcome.status else { return nil }
        return time
    }

    @Test func budgetClamps() throws {
        let fixture = try fixture(SharedBudget(pages: 8, over: .clamp))
        let whole = ConversionRequest.Extent.prefix(maximumRuns: 100)
        let outcome = try fixture.convert(0..<20, to: .shared, by: guest, extent: whole)
        #expect(outcome.isDeferred && outcome.stoppedAt == PageNumber(8) && outcome.changedPages == 8)
        #expect(try fixture.convert(8..<9, to: .shared, by: guest, extent: whole).changedPages == 0)
        try fixture.convert(0..<2, to: .private)
        #expect(try fixture.convert(30..<34, to: .shared).isDeferred, "all or nothing is put off")
        #expect(try fixture.convert(30..<34, to: .shared, extent: whole).stoppedAt == PageNumber(32))
        #expect(fixture.controller.tally.exposed == 8)
        #expect(try self.fixture(SharedBudget(pages: 1, over: .deny)).refusal(0..<2, to: .shared) == .denied)
    }

    /// However a guest asks, and whatever is pending or withdrawn, it never shares more than its budget.
    @Test(arguments: SharedBudget.Excess.allCases)
    func theBudgetIsNeverExceeded(excess: SharedBudget.Excess) throws {
        var (random, note) = Seed.generator("budget \(excess)")
        let fixture = try fixture(SharedBudget(pages: 16, over: excess))
        var most: UInt64 = 0
        for _ in 0..<1000 {
            let start = UInt64.random(in: 0..<60, using: &random)
            let pages = start..<UInt64.random(in: (start + 1)...64, using: &random)
            let target: Ownership = [.shared, .shared, .private].randomElement(using: &random) ?? .shared
            let extent: ConversionRequest.Extent = Bool.random(using: &random) ? .all : .prefix(maximumRuns: 4)
            func ask() { _ = try? fixture.convert(pages, to: target, by: guest, extent: extent) }
            do {
                let pin = try fixture.lease(start..<(start + 1))
                ask()
                pin.release()
            } catch is AccessError { ask() }
            if Bool.random(using: &random) { fixture.clock.drain() }
            most = max(most, fixture.controller.tally.exposed)
            #expect(fixture.controller.tally.exposed <= 16, "\(note)")
        }
        #expect(most == 16, "\(note): it was reached")
    }

    @Test func rateOfRequests() throws {
        let fixture = try fixture(RateLimit(Rate(10, per: .seconds(1), burst: 2)))
        for page in 0..<2 as Range<UInt64> {
            #expect(try fixture.convert(page..<(page + 1), to: .shared, by: guest).isCompleted)
        }
        let late = try fixture.convert(2..<3, to: .shared, by: guest)
        #expect(until(late) == Timestamp(rawValue: 100_000_000))
        #expect(try fixture.convert(2..<3, to: .shared).isCompleted, "the host is not affected")
        #expect(try fixture.convert(0..<1, to: .shared, by: guest).isCompleted, "nothing would change")
        fixture.clock.pass(.milliseconds(100) - .nanoseconds(1))
        #expect(try fixture.convert(3..<4, to: .shared, by: guest).isDeferred, "a nanosecond too early")
        fixture.clock.pass(.nanoseconds(1))
        #expect(try fixture.convert(3..<4, to: .shared, by: guest).isCompleted)
    }

    /// A request that is carried out in many parts counts once.
    @Test func partsAreNotCountedAgain() throws {
        let fixture = try fixture(RateLimit(Rate(1, per: .seconds(1), burst: 2)))
        for page in stride(from: 1, to: 20, by: 2) as StrideTo<UInt64> {
            try fixture.convert(page..<(page + 1), to: .shared)
        }
        let whole = ConversionRequest.Extent.prefix(maximumRuns: 100)
        let outcome = try fixture.convert(0..<20, to: .shared, by: guest, extent: whole)
        #expect(outcome.isCompleted && outcome.changedPages == 10)
        #expect(try fixture.convert(30..<31, to: .shared, by: guest).isCompleted)
        #expect(try fixture.convert(31..<32, to: .shared, by: guest).isDeferred)
    }

    @Test func rateOfPages() throws {
        let fixture = try fixture(RateLimit(Rate(1000, per: .seconds(1), burst: 16), of: .pages))
        let whole = ConversionRequest.Extent.prefix(maximumRuns: 100)
        let first = try fixture.convert(0..<20, to: .shared, by: guest, extent: whole)
        #expect(first.changedPages == 16 && first.stoppedAt == PageNumber(16))
        let early = try fixture.convert(16..<20, to: .shared, by: guest, extent: whole)
        #expect(until(early) == Timestamp(rawValue: 1_000_000))
        #expect(until(try fixture.convert(16..<20, to: .shared, by: guest)) == Timestamp(rawValue: 4_000_000))
        #expect(try fixture.refusal(16..<40, to: .shared, by: guest) == .denied, "it can never be granted")
        fixture.clock.pass(.milliseconds(4))
        #expect(try fixture.convert(16..<20, to: .shared, by: guest).isCompleted)
    }

    /// Where the back end changes nothing smaller than a large page, one goes through a rate at rest.
    @Test func aUnitOfTheBackEndAlwaysGoesThroughAtRest() throws {
        let layout = try GuestMemoryLayout(regions: [PageRange(pages: 0..<2048)], granularity: .large)
        let clock = VirtualExecutor()
        let backend = FakeBackend(layout, initially: .private, reclaim: .unsupported, executor: clock)
        let policy = RateLimit(Rate(1000, per: .seconds(1), burst: 16), of: .pages)
        let controller = MemoryController(backend: backend, policy: policy)
        func ask(_ page: UInt64) -> GuestReply {
            controller.handle(
                GuestRequest(processor: 0, address: page * 4096, byteCount: (2048 - page) * 4096, target: .shared)
            )
        }
        #expect(ask(0) == .retry(from: GuestPhysicalAddress(512 * 4096)))
        #expect(ask(512) == .retry(from: GuestPhysicalAddress(512 * 4096)))
        clock.pass(.milliseconds(512))
        #expect(ask(512) == .retry(from: GuestPhysicalAddress(1024 * 4096)))
    }

    @Test func aStormIsShutOutForLongerEachTime() throws {
        let defence = StormDefence(
            Rate(1000, per: .seconds(1), burst: 4),
            for: .milliseconds(20),
            shutOut: .milliseconds(100),
            atMost: .milliseconds(300)
        )
        let fixture = try fixture(defence)
        /// Asks once a millisecond's fifth, and returns how long it was shut out then, and how often it had its way.
        func storm(_ fixture: ControllerFixture) throws -> (out: Duration, count: Int) {
            for count in 0..<1000 {
                let target: Ownership = fixture.controller.ownership(of: PageNumber(0)) == .shared ? .private : .shared
                if let end = until(try fixture.convert(0..<1, to: target, by: guest)) {
                    #expect(try fixture.convert(1..<2, to: target).isCompleted, "the host is not affected")
                    let out = end.since(fixture.clock.now)
                    fixture.clock.pass(out - .nanoseconds(1))
                    #expect(try fixture.convert(0..<1, to: target, by: guest).isDeferred, "to the end")
                    fixture.clock.pass(.nanoseconds(1))
                    return (out, count)
                }
                fixture.clock.pass(.microseconds(200))
            }
            return (.zero, 1000)
        }
        let first = try storm(fixture)
        #expect(first.out == .milliseconds(100) && first.count >= 100, "\(first): a burst is not a storm")
        #expect(try storm(fixture).out == .milliseconds(200))
        #expect(try storm(fixture).out == .milliseconds(300), "at most so long")
        #expect(try storm(fixture).out == .milliseconds(300))
        fixture.clock.pass(.milliseconds(300))
        #expect(try storm(fixture).out == .milliseconds(100), "forgiven")
    }

    /// Bursts with rests between them are no storm, however many there are.
    @Test func whoComesToRestIsNotShutOut() throws {
        let storm = StormDefence(
            Rate(1000, per: .seconds(1), burst: 4),
            for: .milliseconds(20),
            shutOut: .milliseconds(100),
            atMost: .seconds(1)
        )
        let fixture = try fixture(storm)
        for round in 0..<100 {
            for _ in 0..<10 {
                let target: Ownership = fixture.controller.ownership(of: PageNumber(0)) == .shared ? .private : .shared
                #expect(try fixture.convert(0..<1, to: target, by: guest).isCompleted, "round \(round)")
            }
            fixture.clock.pass(.milliseconds(10))
        }
    }

    @Test func privateByDefault() throws {
        let windows = try [PageRange(pages: 8..<12), PageRange(pages: 12..<16), PageRange(pages: 40..<44)]
        let fixture = try fixture(SharingWindows(windows.reversed()))
        #expect(try fixture.refusal(10..<14, to: .shared) == nil, "two windows that touch are one")
        #expect(try fixture.refusal(40..<44, to: .shared) == nil)
        for pages in [0..<1, 7..<9, 15..<17, 16..<40, 0..<64, 43..<45] as [Range<UInt64>] {
            #expect(try fixture.refusal(pages, to: .shared) == .denied, "\(pages)")
        }
        #expect(try fixture.refusal(10..<11, to: .private) == nil)
        #expect(try self.fixture(SharingWindows([])).refusal(0..<1, to: .shared) == .denied)
    }

    /// What is no memory is nobody's to share.
    @Test func holesNeedNoWindow() throws {
        let layout = try GuestMemoryLayout(regions: [PageRange(pages: 4..<8), PageRange(pages: 12..<16)])
        let controller = MemoryController(
            backend: FakeBackend(layout, initially: .private, reclaim: .unsupported, executor: VirtualExecutor()),
            policy: SharingWindows([try PageRange(pages: 4..<8), try PageRange(pages: 12..<16)]),
            limits: ControllerLimits(holes: .ignore)
        )
        let request = ConversionRequest(try PageRange(pages: 0..<100), to: .shared, by: .host("vmm"))
        #expect(try controller.convert(request).isCompleted)
        #expect(controller.tally.shared == 8)
    }

    @Test func initiators() throws {
        let fixture = try fixture(Initiators([.shared: [.guest], .host: []]))
        #expect(try fixture.refusal(0..<1, to: .shared) == .denied)
        #expect(try fixture.refusal(0..<1, to: .shared, by: .device("nic")) == .denied)
        #expect(try fixture.refusal(0..<1, to: .shared, by: guest) == nil)
        #expect(try fixture.refusal(0..<1, to: .private, by: .device("nic")) == nil, "not listed")
        #expect(try fixture.refusal(0..<1, to: .host, by: guest) == .denied)
    }

    @Test func lockDown() throws {
        let fixture = try fixture(LockDown(after: "launched"))
        #expect(try fixture.refusal(0..<1, to: .shared, by: guest) == nil)
        fixture.controller.mark("launched")
        #expect(try fixture.refusal(1..<2, to: .shared, by: guest) == .denied)
        #expect(try fixture.refusal(1..<2, to: .shared) == .denied, "whoever asks")
        #expect(try fixture.refusal(0..<1, to: .private) == nil)
        #expect(try fixture.refusal(0..<1, to: .shared) == .denied, "and not back either")
    }

    @Test func alignment() throws {
        let fixture = try fixture(Alignment(unit: .base, minimumPages: 4))
        #expect(try fixture.refusal(10..<13, to: .shared) == .denied)
        #expect(try fixture.refusal(10..<14, to: .shared) == nil)
        #expect(try fixture.refusal(14..<15, to: .shared) == nil, "a run that grows")
        #expect(try fixture.refusal(17..<18, to: .shared) == .denied)
        #expect(try fixture.refusal(9..<10, to: .shared) == nil)
        let layout = try GuestMemoryLayout(pages: 100..<2000)
        let backend = FakeBackend(layout, initially: .private, reclaim: .unsupported, executor: VirtualExecutor())
        let controller = MemoryController(backend: backend, policy: Alignment(unit: .large))
        func isAllowed(_ pages: Range<UInt64>) throws -> Bool {
            let request = ConversionRequest(try PageRange(pages: pages), to: .shared, by: .host("vmm"))
            do { return try controller.convert(request).isCompleted } catch { return false }
        }
        #expect(try !isAllowed(512..<1000))
        #expect(try !isAllowed(500..<1024))
        #expect(try isAllowed(512..<1024))
        #expect(try isAllowed(100..<512), "RAM begins there")
        #expect(try isAllowed(1536..<2000), "and ends there")
    }

    @Test func aTimeBoxTakesBackWhatIsShared() throws {
        let fixture = try fixture(Terms.timeBox(.milliseconds(50)))
        try fixture.convert(0..<4, to: .shared, by: guest)
        fixture.clock.pass(.milliseconds(49))
        #expect(fixture.map.hasPrefix("SSSSP"))
        fixture.clock.pass(.milliseconds(1))
        #expect(fixture.map.hasPrefix("PPPPP") && fixture.isQuiet)
    }

    @Test func aDeadlineHoldsForWhoNamesNone() throws {
        let fixture = try fixture(Terms.deadline(.milliseconds(5)), initially: .shared)
        var pending = try fixture.pending(0..<2, pinned: 0..<1)
        fixture.clock.pass(.milliseconds(4))
        #expect(fixture.map.hasPrefix("--SS"))
        fixture.clock.pass(.milliseconds(1))
        #expect(pending.ticket.result?.word == "expired" && fixture.map.hasPrefix("SSSS"))
        pending.release()
    }
}
