import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@Suite struct PreparedChangeTests {
    private let backend: FakeBackend
    private let change: OwnershipChange

    init() throws {
        backend = FakeBackend(try GuestMemoryLayout(pages: 0..<10), executor: VirtualExecutor())
        change = OwnershipChange(range: try PageRange(pages: 0..<4), from: .shared, to: .private, initiator: .host)
    }

    @Test func droppedIsCancelledOnce() throws {
        do { _ = try backend.prepare(change) }
        #expect(backend.calls == [.prepare(change), .release(change)])
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty)
    }

    @Test func cancelledIsCancelledOnce() throws {
        try backend.prepare(change).cancel()
        #expect(backend.calls == [.prepare(change), .release(change)])
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty)
    }

    @Test func committedIsNotCancelled() throws {
        let outcome = try backend.commit(backend.prepare(change))
        guard case .completed(let committed) = consume outcome else { return #expect(Bool(false), "not completed") }
        _ = backend.finish(committed)
        #expect(backend.calls == [.prepare(change), .commit(change), .finish(change)])
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty)
    }

    @Test func failedCommitGivesTheReservationBack() throws {
        backend.plan { $0.commit[1] = .fail(BackendError(.system, "no")) }
        #expect(throws: BackendError.self) { _ = try backend.commit(backend.prepare(change)) }
        #expect(backend.calls == [.prepare(change), .commit(change), .release(change)])
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty)
    }

    @Test func anotherBackendCannotCommitIt() throws {
        let other = FakeBackend(backend.layout, executor: VirtualExecutor())
        var code: BackendError.Code?
        do { _ = try other.commit(backend.prepare(change)) } catch { code = error.code }
        #expect(code == .invalidArgument)
        #expect(backend.calls == [.prepare(change), .release(change)], "it is given back to where it came from")
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty && other.violations.isEmpty)
        #expect(other.ownership.runs.allSatisfy { $0.state == .shared })
    }
}
