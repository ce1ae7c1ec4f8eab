import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// Every system call of a change fails once, at every place, and the guest is as it was before.
@Suite(.needsKVM, .timeLimit(.minutes(60))) struct FaultInjectionTests {
    private static let kernel = { @Sendable (call: SystemCall) in
        switch call {
        case .ioctl(_, .setUserMemoryRegion, _), .ioctl(_, .setUserMemoryRegion2, _), .mprotect, .punchHole: true
        default: false
        }
    }

    /// What either party can see of the pages of the test.
    private struct View: Equatable {
        let guest: [GuestOutcome]
        let host: [[UInt8]?]
        let runs: [PageRange]

        init(_ backend: KVMBackend) throws {
            guest = try (3..<9).map { try backend.guestRead(1, from: Guests.address($0)) }
            host = (3..<9).map { try? backend.hostRead(1, from: Guests.address($0)) }
            runs = backend.slotRuns.map(\.range)
        }
    }

    @Test(arguments: [KVMMode.dual, .revoked], [Ownership.shared, .private, .host])
    func aFailedCommitChangesNothing(mode: KVMMode, before: Ownership) throws {
        let kernel = FailingKernel(concerns: FaultInjectionTests.kernel)
        let backend = try Guests.backend(mode, kernel: kernel)
        // A neighbour on either side, so that some changes merge and some split.
        try backend.change(Guests.range(3, 1), from: .shared, to: .private)
        for page in UInt64(4)..<8 { _ = try backend.guestWrite([UInt8(page)], to: Guests.address(page)) }
        let range = try Guests.range(4, 4)
        if before != .shared { try backend.change(range, from: .shared, to: before) }
        if before == .private { _ = try backend.guestWrite([5], to: Guests.address(4)) }
        let view = try View(backend)
        for after in [Ownership.shared, .private, .host] where after != before {
            kernel.fail(nil)
            try backend.undo(try backend.commitOnly(range, from: before, to: after))
            #expect(try View(backend) == view)
            var n = 1
            // No change takes as many calls; a commit that never succeeds again is found here.
            while n < 16 {
                kernel.fail(n)
                let prepared = try backend.prepare(
                    OwnershipChange(range: range, from: before, to: after, initiator: .host)
                )
                #expect(kernel.calls.isEmpty)
                do throws(BackendError) {
                    switch try backend.commit(prepared) {
                    case .completed(let committed):
                        let calls = kernel.calls.count
                        kernel.fail(nil)
                        #expect(calls == n - 1)
                        try backend.undo(committed)
                    case .blocked: Issue.record("blocked")
                    case .pending: Issue.record("pending")
                    }
                    break
                } catch {
                    #expect(error.code == .resourcesExhausted)
                    #expect((error.cause as? KVMError)?.errno == .noMemory)
                    #expect(kernel.failures == 1)
                    #expect(try View(backend) == view)
                }
                n += 1
            }
            #expect(n > 1 && n < 16)
            #expect(try View(backend) == view)
        }
    }

    /// What cannot be dropped now is dropped before it is used again.
    @Test func staleContentsNeverComeBack() throws {
        let kernel = FailingKernel { call in if case .punchHole = call { true } else { false } }
        let backend = try Guests.backend(.dual, kernel: kernel)
        let range = try Guests.range(4, 2)
        try backend.hostWrite([1], to: Guests.address(4))
        kernel.fail(1, with: .ioError)
        try backend.change(range, from: .shared, to: .private)
        #expect(kernel.failures == 1)
        _ = try backend.guestWrite([2], to: Guests.address(4))

        kernel.fail(1, with: .noMemory, always: true)
        let change = OwnershipChange(range: range, from: .private, to: .shared, initiator: .guest)
        let error = #expect(throws: BackendError.self) { _ = try backend.prepare(change) }
        #expect(error?.code == .resourcesExhausted)
        #expect(try backend.guestRead(1, from: Guests.address(4)) == .bytes([2]))

        kernel.fail(nil)
        try backend.change(range, from: .private, to: .shared)
        #expect(try backend.hostRead(1, from: Guests.address(4)) == [0])
        #expect(try backend.guestRead(1, from: Guests.address(4)) == .bytes([0]))
    }

    private final class Observer: BackendObserver {
        let lost = Monitor(0)
        func handoverCompleted(_ handover: BackendHandover, _ committed: consuming CommittedChange) {}
        func handoverFailed(_ handover: BackendHandover, _ error: BackendError) {}
        func backendReconnected(finding ownership: PageRunMap<Ownership>) {}
        func backendLost(_ error: BackendError) { lost.update { $0 += 1 } }
    }

    /// A kernel that fails for good leaves no doubt: the guest is lost, and everybody is told.
    @Test func aGuestThatCannotBeRestoredIsLost() throws {
        let kernel = FailingKernel(concerns: FaultInjectionTests.kernel)
        let backend = try Guests.backend(.dual, kernel: kernel)
        let observer = Observer()
        backend.report(to: observer)
        kernel.fail(2, always: true)
        let range = try Guests.range(4, 2)
        let error = #expect(throws: BackendError.self) {
            try backend.change(range, from: .shared, to: .private)
        }
        #expect(error?.code == .lost)
        #expect(observer.lost.wait(for: .seconds(5)) { $0 == 1 ? () : nil } != nil)
        kernel.fail(nil)
        let later = #expect(throws: BackendError.self) {
            try backend.change(range, from: .shared, to: .private)
        }
        #expect(later?.code == .lost)
    }

    @Test func anUndoThatFailsIsALoss() throws {
        let kernel = FailingKernel(concerns: FaultInjectionTests.kernel)
        let backend = try Guests.backend(.dual, kernel: kernel)
        let committed = try backend.commitOnly(Guests.range(4, 2), from: .shared, to: .private)
        kernel.fail(1)
        var code: BackendError.Code?
        do { try backend.undo(committed) } catch { code = error.code }
        #expect(code == .lost)
    }
}
