import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@Suite struct CommittedChangeTests {
    private let backend: FakeBackend
    private let change: OwnershipChange

    init() throws {
        backend = FakeBackend(try GuestMemoryLayout(pages: 0..<10), executor: VirtualExecutor())
        change = OwnershipChange(range: try PageRange(pages: 0..<4), from: .shared, to: .private, initiator: .host)
    }

    private func committed() throws -> CommittedChange? {
        let outcome = try backend.commit(backend.prepare(change))
        guard case .completed(let committed) = consume outcome else { return nil }
        backend.forgetCalls()
        return committed
    }

    @Test func droppedIsFinishedOnce() throws {
        do { _ = try committed() }
        #expect(backend.calls == [.finish(change)])
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty)
    }

    @Test func undoneIsNotFinished() throws {
        if let committed = try committed() { try backend.undo(committed) }
        #expect(backend.calls == [.undo(change)])
        #expect(backend.ownership.isUniform(change.range, .shared))
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty)
    }

    @Test func anotherBackendCannotUndoIt() throws {
        let other = FakeBackend(backend.layout, executor: VirtualExecutor())
        var code: BackendError.Code?
        if let committed = try committed() {
            do throws(BackendError) { try other.undo(committed) } catch { code = error.code }
        }
        #expect(code == .invalidArgument)
        #expect(backend.calls == [.finish(change)], "what nobody can undo any more is finished by its own back end")
        #expect(backend.ownership.isUniform(change.range, .private))
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty)
    }

    @Test func takenTwiceIsTakenOnce() throws {
        guard let first = try committed() else { return #expect(Bool(false)) }
        let reservation = first.take(for: backend)
        #expect(reservation != nil)
        #expect(backend.calls.isEmpty, "who takes the reservation has the duty to end it")
    }
}
