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

    @Test func whatIsNoUnitOfMemoryIsRefused() throws {
        let (controller, _) = try simulation()
        #expect(throws: ConversionError.self) { try controller.discard(PageRange(pages: 8..<17)) }
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
