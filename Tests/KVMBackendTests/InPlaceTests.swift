import Custody
import CustodyPolicy
import SystemPackage
import Testing

@testable import KVMBackend

/// References that only the kernel sees, in the mode `in-place`: not an error, and nothing to ask again for.
@Suite(.timeLimit(.minutes(60))) struct InPlaceTests {
    /// What a back end reports.
    final class Observer: BackendObserver {
        let completed = Monitor<[BackendHandover]>([])
        let failed = Monitor<[(handover: BackendHandover, error: BackendError)]>([])

        /// The change is finished by being dropped.
        func handoverCompleted(_ handover: BackendHandover, _ committed: consuming CommittedChange) {
            completed.update { $0.append(handover) }
        }

        func handoverFailed(_ handover: BackendHandover, _ error: BackendError) {
            failed.update { $0.append((handover, error)) }
        }

        func backendReconnected(finding ownership: PageRunMap<Ownership>) {}
        func backendLost(_ error: BackendError) {}
    }

    private let fake: FakeKernel
    private let backend: KVMBackend
    private let observer = Observer()

    init() throws {
        fake = try FakeKernel(.inPlace)
        backend = try Guests.backend(.inPlace, kernel: fake)
        backend.report(to: observer)
    }

    private func prepare(_ first: UInt64, _ count: UInt64) throws -> PreparedChange {
        try backend.prepare(
            OwnershipChange(range: Guests.range(first, count), from: .shared, to: .private, initiator: .host)
        )
    }

    /// Begins a hand-over that is held.
    private func begin(_ first: UInt64, _ count: UInt64) throws -> (BackendHandover, [Blocker]) {
        let prepared = try prepare(first, count)
        switch try backend.commit(prepared) {
        case .completed: throw Unexpected.outcome
        case .blocked: throw Unexpected.outcome
        case .pending(let handover, let blockers): return (handover, blockers)
        }
    }

    @Test func aHeldPageIsAHandoverThatCompletesByItself() throws {
        try backend.hostWrite([3], to: Guests.address(6))
        fake.pin(Guests.address(6))
        let before = fake.convertedPages
        let (handover, blockers) = try begin(4, 4)
        #expect(blockers.map(\.range) == [try Guests.range(6, 1)])
        #expect(fake.convertedPages == before)
        #expect(try backend.hostRead(1, from: Guests.address(6)) == [3])
        #expect(backend.hostError(at: Guests.address(4)) == nil)
        #expect(observer.completed.wait(for: .milliseconds(30)) { $0.isEmpty ? nil : $0 } == nil)

        fake.unpin(Guests.address(6))
        let ended = observer.completed.wait(for: .seconds(20)) { $0.isEmpty ? nil : $0 }
        #expect(ended == [handover])
        #expect(backend.hostError(at: Guests.address(6))?.fault?.evidence == "SIGBUS")
        #expect(backend.hostError(at: Guests.address(3)) == nil)
        #expect(!backend.withdraw(handover))
        #expect(backend.engine.pendingCount == 0)
        // It can go back, and be converted again.
        try backend.change(Guests.range(4, 4), from: .private, to: .shared)
        try backend.change(Guests.range(4, 4), from: .shared, to: .private)
    }

    @Test func aWithdrawnHandoverNeverHappens() throws {
        fake.pin(Guests.address(4))
        let (handover, _) = try begin(4, 2)
        #expect(backend.withdraw(handover))
        #expect(!backend.withdraw(handover))
        fake.unpin(Guests.address(4))
        // Longer than the longest time between two attempts.
        backend.executor.pass(.milliseconds(150))
        backend.executor.drain()
        #expect(backend.hostError(at: Guests.address(4)) == nil)
        #expect(observer.completed.update { $0.isEmpty })
        #expect(observer.failed.update { $0.isEmpty })
        try backend.change(Guests.range(4, 2), from: .shared, to: .private)
    }

    @Test func aHandoverIsNotLostByAHole() throws {
        fake.pin(Guests.address(4))
        let (handover, _) = try begin(4, 2)
        // The reference is to a page that the file has not got any more.
        try backend.discardContents(of: Guests.range(4, 2))
        #expect(observer.completed.wait(for: .seconds(20)) { $0.isEmpty ? nil : $0 } == [handover])
        #expect(backend.hostError(at: Guests.address(4))?.code == .accessDenied)
    }

    @Test func theEndOfTheGuestEndsAHandover() throws {
        fake.pin(Guests.address(4))
        let (handover, _) = try begin(4, 2)
        backend.shutDown()
        fake.unpin(Guests.address(4))
        let failed = observer.failed.wait(for: .seconds(20)) { $0.isEmpty ? nil : $0 }
        #expect(failed?.map(\.handover) == [handover])
        #expect(failed?.first?.error.code == .lost)
        #expect(observer.completed.update { $0.isEmpty })
        #expect(fake.convertedPages.allSatisfy { $0.isEmpty })
    }

    /// An attempt that fails for another reason is the hand-over's end, with the pages as they were.
    @Test func aFailedAttemptIsReported() throws {
        let failing = FailingKernel(fake) { call in
            if case .ioctl(_, .setMemoryAttributes2, _) = call { true } else { false }
        }
        let backend = try Guests.backend(.inPlace, kernel: failing)
        backend.report(to: observer)
        fake.pin(Guests.address(4))
        failing.fail(2, with: .noMemory)
        let prepared = try backend.prepare(
            OwnershipChange(range: Guests.range(4, 2), from: .shared, to: .private, initiator: .host)
        )
        guard case .pending(let handover, _) = try backend.commit(prepared) else {
            Issue.record("not pending")
            return
        }
        let failed = observer.failed.wait(for: .seconds(20)) { $0.isEmpty ? nil : $0 }
        #expect(failed?.map(\.handover) == [handover])
        #expect(failed?.first?.error.code == .resourcesExhausted)
        fake.unpin(Guests.address(4))
        #expect(backend.hostError(at: Guests.address(4)) == nil)
        try backend.change(Guests.range(4, 2), from: .shared, to: .private)
    }

    /// A kernel without memory for the attributes is an error that may be tried again, and nothing has changed.
    @Test func noMemoryForAttributesChangesNothing() throws {
        try backend.hostWrite([3], to: Guests.address(4))
        fake.setMemoryIsShort(true)
        let prepared = try prepare(4, 2)
        var code: BackendError.Code?
        do throws(BackendError) { _ = try backend.commit(prepared) } catch { code = error.code }
        #expect(code == .resourcesExhausted)
        #expect(backend.engine.pendingCount == 0)
        #expect(try backend.hostRead(1, from: Guests.address(4)) == [3])
        fake.setMemoryIsShort(false)
        try backend.change(Guests.range(4, 2), from: .shared, to: .private)
        #expect(backend.hostError(at: Guests.address(4))?.code == .accessDenied)
    }

    /// From the host alone to private is a conversion and a slot: a held page leaves neither behind.
    @Test func aHeldPageOfTheHostsStaysTheHosts() throws {
        try backend.change(Guests.range(4, 2), from: .shared, to: .host)
        // The slot is gone: hold the page by its neighbours' file offset, while it is still there.
        try backend.change(Guests.range(4, 2), from: .host, to: .shared)
        fake.pin(Guests.address(5))
        try backend.change(Guests.range(4, 2), from: .shared, to: .host)
        // The guest program's own slot comes with its first work.
        #expect(try backend.guestRead(1, from: Guests.address(4)) == .fault(Guests.address(4)))
        let slots = fake.slots
        let prepared = try backend.prepare(
            OwnershipChange(range: Guests.range(4, 2), from: .host, to: .private, initiator: .host)
        )
        guard case .pending(let handover, let blockers) = try backend.commit(prepared) else {
            Issue.record("not pending")
            return
        }
        #expect(blockers.map(\.range) == [try Guests.range(5, 1)])
        #expect(fake.slots == slots)
        #expect(try backend.guestRead(1, from: Guests.address(4)) == .fault(Guests.address(4)))
        #expect(backend.withdraw(handover))
        #expect(fake.slots == slots)
    }

    /// An undo that finds its page held waits for it; it cannot leave the page in two ownerships.
    @Test func anUndoWaitsForAHeldPage() throws {
        try backend.change(Guests.range(4, 2), from: .shared, to: .private)
        let committed = try backend.commitOnly(Guests.range(4, 2), from: .private, to: .shared)
        fake.pin(Guests.address(5))
        let fake = fake
        let executor = backend.executor
        executor.submit(at: executor.now.advanced(by: .milliseconds(20))) { fake.unpin(Guests.address(5)) }
        try backend.undo(committed)
        #expect(backend.hostError(at: Guests.address(5))?.code == .accessDenied)
    }

    @Test func anUndoThatWaitsInVainIsALoss() throws {
        try backend.change(Guests.range(4, 2), from: .shared, to: .private)
        let committed = try backend.commitOnly(Guests.range(4, 2), from: .private, to: .shared)
        fake.pin(Guests.address(5))
        var code: BackendError.Code?
        do { try backend.undo(committed) } catch { code = error.code }
        #expect(code == .lost)
    }

    // MARK: Through the controller

    @Test func theControllersTicketCompletes() async throws {
        let controller = MemoryController(backend: backend, policy: AllowAll())
        fake.pin(Guests.address(9))
        let outcome = try controller.convert(
            ConversionRequest(
                Guests.range(8, 4),
                to: .private,
                by: .host("test"),
                whenHeld: .handOver(deadline: nil)
            )
        )
        guard case .pending(let ticket, let blockers) = outcome.status else {
            Issue.record("\(outcome.status)")
            return
        }
        #expect(blockers.map(\.range) == [try Guests.range(9, 1)])
        #expect(controller.ownership(of: try Guests.range(9, 1).start) == .inTransit)
        fake.unpin(Guests.address(9))
        guard case .completed(.unspecified) = try await ticket.value else {
            Issue.record("\(String(describing: ticket.result))")
            return
        }
        #expect(controller.ownership(of: try Guests.range(9, 1).start) == .private)
        #expect(backend.hostError(at: Guests.address(9))?.code == .accessDenied)
    }

    @Test func whoMayNotWaitIsBlocked() throws {
        let controller = MemoryController(backend: backend, policy: AllowAll())
        fake.pin(Guests.address(9))
        let request = ConversionRequest(try Guests.range(8, 4), to: .private, by: .host("test"), whenHeld: .report)
        guard case .blocked(let blockers) = try controller.convert(request).status else {
            Issue.record("not blocked")
            return
        }
        #expect(blockers.map(\.range) == [try Guests.range(9, 1)])
        #expect(controller.ownership(of: try Guests.range(9, 1).start) == .shared)
        #expect(backend.engine.pendingCount == 0)
        fake.unpin(Guests.address(9))
        guard case .completed = try controller.convert(request).status else {
            Issue.record("not completed")
            return
        }
    }

    /// A holder that our own ledger knows is named as it is, before the kernel is asked; one that only the kernel sees is
    /// named by its page, and the hand-over waits for both, one after the other.
    @Test func theHolderIsNamedWhereItIsOurs() throws {
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let disk = Holder(device: "disk", purpose: "DMA")
        let lease = try controller.lease(Guests.range(9, 1), .pin, for: disk)
        fake.pin(Guests.address(10))
        let request = ConversionRequest(
            try Guests.range(8, 4),
            to: .private,
            by: .host("test"),
            whenHeld: .handOver(deadline: nil)
        )
        guard case .pending(let ticket, let blockers) = try controller.convert(request).status else {
            throw Unexpected.outcome
        }
        #expect(blockers.map(\.holder) == [disk])
        #expect(blockers.map(\.range) == [try Guests.range(9, 1)])
        lease.release()
        // The ledger's is gone, the kernel's is not.
        #expect(waits { backend.engine.pendingCount == 1 })
        #expect(controller.ownership(of: Guests.address(9).page) == .inTransit)
        #expect(ticket.result == nil)
        fake.unpin(Guests.address(10))
        guard case .completed = ticket.wait(for: .seconds(20)) else { throw Unexpected.outcome }
        #expect(controller.ownership(of: Guests.address(9).page) == .private)
        #expect(backend.engine.pendingCount == 0)
    }
}
