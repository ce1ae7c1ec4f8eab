import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Contents go, ownership stays, and nothing under way is lost.
@Suite struct DiscardTests {
    private func simulation() throws -> (MemoryController, SimulationBackend) {
        let layout = try GuestMemoryLayout(pages: 0..<16)
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: layout),
            options: SimulationOptions(seed: 1, contents: .preserved, latency: .zero)
        )
        return (MemoryController(backend: backend, policy: AllowAll()), backend)
    }

    @Test func contentsGoAndOwnershipStays() throws {
        let (controller, backend) = try simulation()
        let nic = Holder(device: "nic")
        try controller.write([1, 2, 3].span, to: GuestPhysicalAddress(4096), for: nic)
        try controller.discard(PageRange(pages: 1..<2))
        var bytes: [UInt8] = [9, 9, 9]
        var span = bytes.mutableSpan
        try controller.read(&span, from: GuestPhysicalAddress(4096), for: nic)
        #expect(bytes == [0, 0, 0])
        #expect(controller.tally.shared == 16)
        _ = backend
    }

    private func refusal(_ controller: MemoryController, _ pages: Range<UInt64>) throws -> ConversionError.Code? {
        do {
            try controller.discard(PageRange(pages: pages))
            return nil
        } catch let error as ConversionError { return error.code }
    }

    @Test func whatIsNoUnitOfMemoryIsRefused() throws {
        let (controller, _) = try simulation()
        #expect(try refusal(controller, 8..<17) == .hole)
        let layout = try GuestMemoryLayout(regions: [PageRange(pages: 0..<2048)], granularity: .large)
        let large = MemoryController(backend: FakeBackend(layout, executor: VirtualExecutor()), policy: AllowAll())
        #expect(try refusal(large, 0..<1) == .misaligned && refusal(large, 1..<513) == .misaligned)
        #expect(try refusal(large, 512..<1024) == nil)
    }

    /// While the back end completes one change of a hand-over by itself, the others keep their contents: those that are made
    /// may be taken back, those that are prepared are still to be made.
    @Test func contentsThatMayComeBackStay() throws {
        let fixture = try ControllerFixture(pages: 0..<12)
        for low in [2, 6] as [UInt64] { try fixture.convert(low..<(low + 2), to: .private) }
        fixture.backend.plan { $0.commit[4] = .pend }
        let ticket = try #require(try fixture.convert(0..<12, to: .private).ticket)
        #expect(try refusal(fixture.controller, 0..<2) == .busy, "made, and may be taken back")
        #expect(try refusal(fixture.controller, 4..<6) == nil, "the back end waits for a reference")
        #expect(try refusal(fixture.controller, 8..<12) == .busy, "reserved for")
        #expect(try refusal(fixture.controller, 2..<4) == nil, "no part of it")
        let whileEnding = Locked<[ConversionError.Code?]>([])
        fixture.backend.atEachCall { [weak fixture] call in
            guard case .withdraw = call, let fixture else { return }
            let code = (try? self.refusal(fixture.controller, 4..<6)) ?? nil
            whileEnding.withLock { $0.append(code) }
        }
        #expect(ticket.cancel())
        #expect(whileEnding.withLock { $0 } == [.busy], "it is being taken back")
        #expect(fixture.isQuiet && fixture.map == "SSPPSSPPSSSS")
    }

    /// The count of what is made goes on with the changes.
    @Test func contentsMayGoOfTheChangeThatIsWaitedFor() throws {
        let fixture = try ControllerFixture(pages: 0..<12)
        for low in [2, 6] as [UInt64] { try fixture.convert(low..<(low + 2), to: .private) }
        fixture.backend.plan { $0.commit = [3: .pend, 4: .pend, 5: .pend] }
        let ticket = try #require(try fixture.convert(0..<12, to: .private).ticket)
        let runs = [0..<2, 4..<6, 8..<12] as [Range<UInt64>]
        for waited in runs {
            for run in runs {
                #expect(try refusal(fixture.controller, run) == (run == waited ? nil : .busy), "\(run), \(waited)")
            }
            fixture.backend.complete(try #require(fixture.backend.waiting.first))
        }
        #expect(ticket.result?.word == "completed" && fixture.isQuiet)
    }

    @Test func aLossIsSeen() throws {
        let fixture = try ControllerFixture()
        let pending = try fixture.pending(8..<12, pinned: 8..<9)
        fixture.backend.plan { $0.discard[1] = BackendError(.lost, "gone") }
        #expect(try refusal(fixture.controller, 0..<4) == .backend)
        #expect(pending.ticket.result?.word == "failed" && fixture.events.words.contains("back"))
        #expect(try refusal(fixture.controller, 0..<4) == .backend)
        #expect(fixture.backend.counts.discards == 1, "it is not asked again")
    }

    /// While pages change hands their contents are not discarded, and the other way round.
    @Test func neverDuringAChange() throws {
        let fixture = try ControllerFixture()
        fixture.backend.atEachCall { [weak fixture] call in
            guard let fixture, case .commit = call else { return }
            let code: ConversionError.Code?
            do {
                try fixture.controller.discard(PageRange(pages: 4..<12))
                code = nil
            } catch let error as ConversionError { code = error.code } catch { code = nil }
            if code != .busy { Issue.record("discarded under a change: \(String(describing: code))") }
        }
        try fixture.convert(0..<8, to: .private)
        fixture.backend.atEachCall(nil)
        #expect(fixture.isQuiet)
    }

    /// Pages whose contents are being discarded are nobody's to change, whether or not somebody holds them.
    @Test func neverAChangeDuringADiscard() throws {
        let fixture = try ControllerFixture()
        let lease = try fixture.lease(20..<21)
        let refusals = Locked<[ConversionError.Code?]>([])
        fixture.backend.amidEachDiscard { [weak fixture] _ in
            guard let fixture else { return }
            for pages in [0..<4, 4..<6, 7..<9, 11..<12, 12..<14, 18..<22, 24..<32] as [Range<UInt64>] {
                let code = (try? fixture.refusal(pages, to: .private)) ?? nil
                refusals.withLock { $0.append(code) }
            }
            let again: ConversionError.Code?
            do {
                try fixture.controller.discard(PageRange(pages: 7..<9))
                again = nil
            } catch let error as ConversionError { again = error.code } catch { again = nil }
            refusals.withLock { $0.append(again) }
        }
        try fixture.controller.discard(PageRange(pages: 4..<21))
        let expected: [ConversionError.Code?] = [nil, .busy, .busy, .busy, .busy, .busy, nil, .busy]
        #expect(refusals.withLock { $0 } == expected)
        fixture.backend.amidEachDiscard(nil)
        #expect(try fixture.refusal(4..<12, to: .private) == nil, "afterwards it may begin")
        lease.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet)
    }

    /// What is let go of meanwhile is carried out when the discard is over, and not before.
    @Test func aHandOverWaitsForADiscardOfItsPages() throws {
        let fixture = try ControllerFixture()
        let pending = LeaseBox(try fixture.lease(2..<3))
        let ticket = try #require(try fixture.convert(0..<8, to: .private).ticket)
        let results = Locked<[Bool]>([])
        fixture.backend.amidEachDiscard { [weak fixture] _ in
            pending.release()
            fixture?.clock.drain()
            results.withLock { $0.append(ticket.result == nil && fixture?.backend.calls.isEmpty == true) }
        }
        try fixture.controller.discard(PageRange(pages: 0..<1))
        #expect(results.withLock { $0 } == [true])
        fixture.clock.drain()
        #expect(ticket.result?.word == "completed" && fixture.isQuiet)
    }

    @Test func aPendingHandOverStaysPending() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 2..<3)
        try fixture.controller.discard(PageRange(pages: 0..<8))
        #expect(pending.ticket.result == nil)
        pending.release()
        fixture.clock.drain()
        #expect(pending.ticket.result?.word == "completed")
        #expect(fixture.isQuiet)
    }

    @Test func aFailureIsToldAndChangesNothing() throws {
        let fixture = try ControllerFixture()
        fixture.backend.plan { $0.discard[1] = BackendError(.system, "EIO") }
        do {
            try fixture.controller.discard(PageRange(pages: 0..<8))
            Issue.record("it did not fail")
        } catch let error as ConversionError {
            #expect(error.code == .backend && error.cause?.message == "EIO")
        }
        #expect(fixture.isQuiet)
        try fixture.controller.discard(PageRange(pages: 0..<8))
        #expect(fixture.events.words.suffix(2) == ["not", "discarded"])
    }
}
