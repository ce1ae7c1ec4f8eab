import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Conversions that nobody stands in the way of: what the back end is asked for, and in which order.
@Suite struct ConversionTests {
    private func change(_ pages: Range<UInt64>, _ from: Ownership, _ to: Ownership) throws -> OwnershipChange {
        OwnershipChange(range: try PageRange(pages: pages), from: from, to: to, initiator: .host)
    }

    @Test func oneRunIsPreparedCommittedAndFinishedOnce() throws {
        let fixture = try ControllerFixture()
        let outcome = try fixture.convert(4..<8, to: .private)
        let change = try change(4..<8, .shared, .private)
        #expect(fixture.backend.calls == [.prepare(change), .commit(change), .finish(change)])
        #expect(outcome.isCompleted && outcome.stoppedAt == nil)
        #expect(outcome.changedPages == 4)
        #expect(outcome.contents == .zeroed)
        #expect(outcome.completedPrefix == outcome.range)
        #expect(fixture.map == "SSSSPPPP" + String(repeating: "S", count: 56))
        #expect(fixture.isQuiet)
        #expect(fixture.events.words == ["requested", "policy", "prepared", "committed", "finished", "answered"])
    }

    /// A mixed range: everything that can fail comes before everything that cannot be undone.
    @Test func allRunsArePreparedBeforeOneIsCommittedAndCommittedBeforeOneIsFinished() throws {
        let fixture = try ControllerFixture()
        for start in stride(from: 2, to: 20, by: 4) as StrideTo<UInt64> {
            try fixture.convert(start..<(start + 2), to: .private)
        }
        fixture.backend.forgetCalls()
        let outcome = try fixture.convert(0..<20, to: .private)
        let changes = try stride(from: 0, to: 20, by: 4).map { try change($0..<($0 + 2), .shared, .private) }
        let calls = fixture.backend.calls
        #expect(calls.count == 15)
        #expect(Set(calls.prefix(5)) == Set(changes.map { .prepare($0) }))
        #expect(Array(calls.dropFirst(5).prefix(5)) == changes.map { .commit($0) }, "from low to high")
        #expect(Set(calls.suffix(5)) == Set(changes.map { .finish($0) }))
        #expect(outcome.changedPages == 10)
        #expect(fixture.isQuiet)
    }

    @Test func neighboursInDifferentOwnershipsAreChangesOfTheirOwn() throws {
        let fixture = try ControllerFixture()
        try fixture.convert(4..<8, to: .host)
        fixture.backend.forgetCalls()
        try fixture.convert(0..<8, to: .private)
        let commits = try [change(0..<4, .shared, .private), change(4..<8, .host, .private)]
        #expect(
            fixture.backend.calls.filter { if case .commit = $0 { true } else { false } } == commits.map { .commit($0) }
        )
        #expect(fixture.isQuiet)
    }

    @Test func giving() throws {
        let fixture = try ControllerFixture(initially: .private)
        #expect(try fixture.convert(0..<4, to: .shared, by: .guest(processor: 3)).isCompleted)
        guard case .commit(let change)? = fixture.backend.calls.dropFirst().first else { return #expect(Bool(false)) }
        #expect(change.initiator == .guest)
        #expect(change.move == .give(to: .host))
        #expect(fixture.isQuiet)
    }

    @Test func requestsThatMakeNoSense() throws {
        let fixture = try ControllerFixture(pages: 8..<16, reclaim: .unsupported)
        #expect(try fixture.refusal(0..<4, to: .private) == .hole)
        #expect(try fixture.refusal(12..<20, to: .private) == .hole)
        #expect(try fixture.refusal(8..<9, to: .inTransit) == .illegal)
        #expect(try fixture.refusal(8..<9, to: .host) == .unsupported)
        #expect(try fixture.refusal(8..<9, to: .host, by: .guest(processor: 0)) == .unsupported)
        let range = try PageRange(pages: 8..<9)
        let preserving = ConversionRequest(range, to: .private, by: .host("vmm"), contents: .preserved)
        #expect(throws: ConversionError.self) { try fixture.controller.convert(preserving) }
        #expect(fixture.backend.calls.isEmpty && fixture.policy.asked == 0)
        #expect(fixture.events.words == Array(repeating: ["requested", "failed"], count: 6).flatMap { $0 })
    }

    @Test func granularityIsKept() throws {
        let layout = try GuestMemoryLayout(regions: [PageRange(pages: 0..<2048)], granularity: .large)
        let backend = FakeBackend(layout, executor: try ControllerFixture().clock)
        let controller = MemoryController(backend: backend, policy: AllowAll())
        for pages in [0..<1, 1..<513, 512..<1023] as [Range<UInt64>] {
            let request = ConversionRequest(try PageRange(pages: pages), to: .private, by: .host("vmm"))
            #expect(throws: ConversionError.self) { try controller.convert(request) }
        }
        let request = ConversionRequest(try PageRange(pages: 512..<1024), to: .private, by: .host("vmm"))
        #expect(try controller.convert(request).isCompleted)
    }

    @Test func onlyAGuestOffersWhereNobodyCanAskIt() throws {
        let fixture = try ControllerFixture(reclaim: .offeredByGuest)
        #expect(try fixture.refusal(0..<4, to: .host) == .unsupported)
        #expect(try fixture.convert(0..<4, to: .host, by: .guest(processor: 0)).isCompleted)
    }

    /// Where memory comes and goes a region at a time, half of one neither goes nor comes; sharing is a matter of pages.
    @Test func regionsComeAndGoWhole() throws {
        let regions = try [PageRange(pages: 0..<4), PageRange(pages: 8..<12)]
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(regions: regions)),
            options: SimulationOptions(initial: .host, contents: .preserved, latency: .zero, modules: true)
        )
        let controller = MemoryController(backend: backend, policy: AllowAll())
        func convert(_ pages: Range<UInt64>, _ target: Ownership) throws -> String {
            let request = ConversionRequest(try PageRange(pages: pages), to: target, by: .host("vmm"))
            do {
                let outcome = try controller.convert(request)
                backend.clock.drain()
                return outcome.word
            } catch { return error.code.rawValue }
        }
        #expect(try convert(0..<2, .shared) == "misaligned" && convert(8..<11, .private) == "misaligned")
        #expect(try convert(0..<4, .shared) == "completed")
        #expect(try convert(1..<3, .private) == "completed", "pages of it")
        #expect(try convert(0..<4, .host) == "misaligned", "not in one ownership")
        #expect(try convert(1..<3, .shared) == "completed")
        #expect(try convert(0..<2, .host) == "misaligned")
        #expect(try convert(0..<4, .host) == "pending", "the guest is asked for it")
        #expect(controller.tally.host == 8)
    }

    @Test func aHoleBetweenRegionsIsNeitherConvertedNorShown() throws {
        let regions = try [PageRange(pages: 0..<4), PageRange(pages: 8..<12)]
        let fixture = try ControllerFixture()
        let backend = FakeBackend(try GuestMemoryLayout(regions: regions), executor: fixture.clock)
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let across = ConversionRequest(try PageRange(pages: 2..<10), to: .private, by: .host("vmm"))
        #expect(throws: ConversionError.self) { try controller.convert(across) }
        #expect(controller.ownership(of: PageNumber(5)) == nil)
        #expect(controller.runs(in: try PageRange(pages: 0..<20)).map(\.range) == regions)
    }
}
