import Custody
import CustodyTestSupport
import SimulationBackend
import Synchronization
import Testing

@testable import CustodyPolicy

/// The host's way to the bytes.
@Suite struct AccessTests {
    private let holder = Holder(device: "vmm")

    private func error(_ body: () throws(AccessError) -> Void) -> AccessError? {
        do throws(AccessError) { try body() } catch { return error }
        return nil
    }

    private func describe(_ error: AccessError?) -> String { error?.description ?? "no error" }

    @Test(arguments: [true, false]) func readsAndWritesLeaveNoLease(isObserved: Bool) throws {
        let fixture = try ControllerFixture(observesAccesses: isObserved)
        let written: [UInt8] = Array(0..<200)
        try fixture.controller.write(written.span, to: GuestPhysicalAddress(4000), for: holder)
        var bytes = [UInt8](repeating: 0, count: 200)
        var span = bytes.mutableSpan
        try fixture.controller.read(&span, from: GuestPhysicalAddress(4000), for: holder)
        #expect(bytes == written)
        #expect(fixture.controller.blockers(of: fixture.controller.layout.bounds).isEmpty)
        #expect(fixture.events.words == (isObserved ? ["leased", "released", "leased", "released"] : []))
    }

    @Test(arguments: [true, false]) func whatTheHostDoesNotOwnIsRefusedWithItsFirstPage(isObserved: Bool) throws {
        let fixture = try ControllerFixture(pages: 4..<16, observesAccesses: isObserved)
        try fixture.convert(8..<10, to: .private)
        let bytes = [UInt8](repeating: 1, count: 3 * 4096)
        let refused = error { () throws(AccessError) in
            try fixture.controller.write(bytes.span, to: GuestPhysicalAddress(7 * 4096), for: holder)
        }
        #expect(describe(refused) == "the page at 0x8000 is private")
        let hole = error { () throws(AccessError) in
            try fixture.controller.write(bytes.span, to: GuestPhysicalAddress(14 * 4096), for: holder)
        }
        #expect(describe(hole) == "there is no memory at 0x10000")
        let wrap = error { () throws(AccessError) in
            try fixture.controller.write(bytes.span, to: GuestPhysicalAddress(.max), for: holder)
        }
        #expect(describe(wrap) == "the range runs past the end of the address space")
        #expect(fixture.controller.blockers(of: fixture.controller.layout.bounds).isEmpty)
    }

    @Test func aPageOfAConversionThatRunsIsInTransitWithoutATicket() throws {
        let fixture = try ControllerFixture()
        let refusals = Atomic<Int>(0)
        fixture.backend.atEachCall { [weak fixture] call in
            guard case .commit = call, let fixture else { return }
            #expect(fixture.accessError(0..<1)?.description == "the page at 0x0 is in transit")
            refusals.add(1, ordering: .sequentiallyConsistent)
        }
        try fixture.convert(0..<4, to: .private)
        #expect(refusals.load(ordering: .sequentiallyConsistent) == 1)
    }

    /// While somebody copies, the pages stay where they are; the end of the copy lets them go.
    @Test(arguments: [1, 70], [true, false])
    func aCopyHoldsAHandOverUp(copies: Int, isObserved: Bool) throws {
        let fixture = try ControllerFixture(observesAccesses: isObserved)
        let ticket = Locked<Ticket?>(nil)
        let depth = Locked(0)
        // More copies at once than there are places for: copies within copies.
        fixture.backend.amidEachAccess { [weak fixture] in
            guard let fixture else { return }
            let now = depth.withLock { depth in
                depth += 1
                return depth
            }
            if now < copies { return _ = self.error { () throws(AccessError) in try self.copy(fixture) } }
            do {
                let outcome = try fixture.convert(0..<4, to: .private)
                guard case .pending(let pending, let blockers) = outcome.status else {
                    Issue.record("not pending but \(outcome)")
                    return
                }
                #expect(
                    blockers.count == copies && blockers.allSatisfy { $0.kind == .access && $0.holder == self.holder }
                )
                #expect(fixture.controller.blockers(of: try PageRange(pages: 0..<8)) == blockers)
                ticket.withLock { $0 = pending }
            } catch { Issue.record(error) }
        }
        try copy(fixture)
        let pending = try #require(ticket.withLock { $0 })
        #expect(pending.result == nil && fixture.map.hasPrefix("----SS"), "the copy's end runs nothing itself")
        fixture.backend.amidEachAccess(nil)
        fixture.clock.drain()
        #expect(pending.result?.word == "completed" && fixture.map.hasPrefix("PPPPSS"))
        #expect(fixture.isQuiet && fixture.controller.blockers(of: fixture.controller.layout.bounds).isEmpty)
        // Nobody waits any more, and the next copies are as the first ones.
        try fixture.convert(0..<4, to: .shared)
        try copy(fixture)
        #expect(fixture.isQuiet)
    }

    /// A request that does not wait leaves the host its pages, and copies go on without the lock.
    @Test func aRequestThatIsBlockedByACopyChangesNothing() throws {
        let fixture = try ControllerFixture(observesAccesses: false)
        fixture.backend.amidEachAccess { [weak fixture] in
            guard let fixture else { return }
            fixture.backend.amidEachAccess(nil)
            do {
                let outcome = try fixture.convert(0..<4, to: .private, whenHeld: .report)
                guard case .blocked(let blockers) = outcome.status else {
                    Issue.record("not blocked but \(outcome)")
                    return
                }
                #expect(blockers.map(\.holder) == [self.holder] && blockers.map(\.kind) == [.access])
                try self.copy(fixture)
            } catch { Issue.record(error) }
        }
        try copy(fixture)
        #expect(fixture.isQuiet && fixture.map.allSatisfy { $0 == "S" })
        #expect(fixture.controller.hostAccess.allows(try PageRange(pages: 0..<4)), "without the lock as before")
        try fixture.convert(0..<4, to: .private)
        #expect(describe(error { () throws(AccessError) in try copy(fixture) }) == "the page at 0x1000 is private")
    }

    /// The same where a hand-over may not begin because there are too many.
    @Test func aRequestThatIsRefusedChangesNothing() throws {
        let fixture = try ControllerFixture(limits: ControllerLimits(pendingInTotal: 1), observesAccesses: false)
        let pending = try fixture.pending(8..<12, pinned: 8..<9)
        let pin = try fixture.lease(0..<1)
        #expect(try fixture.refusal(0..<4, to: .private) == .tooManyPending)
        #expect(fixture.controller.hostAccess.allows(try PageRange(pages: 0..<4)), "without the lock as before")
        pin.release()
        #expect(pending.ticket.cancel() && fixture.isQuiet)
    }

    /// After a loss nobody reaches anything, with or without the lock.
    @Test(arguments: [true, false]) func aLossEndsAllAccess(isObserved: Bool) throws {
        let fixture = try ControllerFixture(observesAccesses: isObserved)
        try copy(fixture)
        fixture.backend.lose(BackendError(.lost, "gone"))
        #expect(error { () throws(AccessError) in try copy(fixture) } != nil)
    }

    private func copy(_ fixture: ControllerFixture) throws(AccessError) {
        let bytes: [8 of UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        try fixture.controller.write(bytes.span, to: GuestPhysicalAddress(4096), for: holder)
    }
}
