@testable import Custody
import CustodyTestSupport
import Testing

@Suite(.timeLimit(.minutes(60))) struct TicketTests {
    private func ticket(_ withdraw: @escaping @Sendable (TicketID) -> Bool = { _ in false }) throws -> Ticket {
        Ticket(
            id: TicketID(rawValue: 7),
            range: try PageRange(pages: 0..<2),
            target: .private,
            since: .zero,
            deadline: nil,
            withdraw: withdraw,
            blockers: { _ in [] }
        )
    }

    private func isCompleted(_ result: TicketResult?) -> Bool {
        guard case .completed(.zeroed) = result else { return false }
        return true
    }

    @Test func aSettledTicketAnswersAtOnce() async throws {
        let ticket = try ticket()
        #expect(ticket.result == nil)
        ticket.settle(.completed(.zeroed))
        #expect(isCompleted(ticket.result))
        #expect(isCompleted(ticket.wait()))
        #expect(isCompleted(try await ticket.value))
    }

    /// What the ledger says of its pages later is about somebody else.
    @Test func nobodyHoldsUpWhatHasEnded() throws {
        let range = try PageRange(pages: 0..<2)
        let ticket = Ticket(
            id: TicketID(rawValue: 1),
            range: range,
            target: .private,
            since: .zero,
            deadline: nil,
            withdraw: { _ in false },
            blockers: { [Blocker(holder: Holder(device: "nic"), range: $0, kind: .pin, since: .zero)] }
        )
        #expect(ticket.blockers.map(\.range) == [range])
        ticket.settle(.cancelled)
        #expect(ticket.blockers.isEmpty)
    }

    @Test func onlyTheFirstResultCounts() async throws {
        let ticket = try ticket()
        ticket.settle(.completed(.zeroed))
        ticket.settle(.cancelled)
        #expect(isCompleted(ticket.result))
        #expect(isCompleted(try await ticket.value))
    }

    @Test func waitGivesUpAfterItsTimeout() throws {
        let ticket = try ticket()
        let start = ContinuousClock.now
        #expect(ticket.wait(for: .milliseconds(30)) == nil)
        let taken = ContinuousClock.now - start
        #expect(taken >= .milliseconds(30) && taken < .seconds(5))
        #expect(ticket.wait(for: .zero) == nil)
        #expect(ticket.wait(for: .seconds(-3)) == nil)
    }

    @Test func waitIsWokenByTheEnd() throws {
        let ticket = try ticket()
        let woken = Monitor(0)
        for timeout in [nil, .seconds(30), .seconds(Int64.max)] as [Duration?] {
            try Thread.start {
                if self.isCompleted(ticket.wait(for: timeout)) { woken.update { $0 += 1 } }
            }
        }
        #expect(woken.wait(for: .milliseconds(30)) { $0 > 0 ? $0 : nil } == nil, "nobody is woken before the end")
        ticket.settle(.completed(.zeroed))
        #expect(woken.wait(for: .seconds(10)) { $0 == 3 ? $0 : nil } == 3)
    }

    @Test func manyTasksAndThreadsGetTheSameEnd() async throws {
        let ticket = try ticket()
        let threads = Monitor(0)
        for _ in 0..<8 { try Thread.start { if self.isCompleted(ticket.wait()) { threads.update { $0 += 1 } } } }
        let count = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { self.isCompleted(try? await ticket.value) } }
            group.addTask {
                ticket.settle(.completed(.zeroed))
                return true
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(count == 101)
        #expect(threads.wait(for: .seconds(10)) { $0 == 8 ? $0 : nil } == 8)
    }

    @Test func cancellingTheWaitingTaskEndsItsWaitAlone() async throws {
        let ticket = try ticket()
        let waiting = Task { try await ticket.value }
        let other = Task { try await ticket.value }
        try await Task.sleep(for: .milliseconds(20))
        waiting.cancel()
        await #expect(throws: CancellationError.self) { _ = try await waiting.value }
        #expect(ticket.result == nil, "the hand-over goes on")
        ticket.settle(.completed(.zeroed))
        #expect(isCompleted(try await other.value))
    }

    @Test func aTaskThatIsCancelledAlreadyDoesNotWait() async throws {
        let ticket = try ticket()
        let task = Task {
            unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
            return try await ticket.value
        }
        await #expect(throws: CancellationError.self) { _ = try await task.value }
    }

    /// Cancellation and the end race; each waiter is resumed exactly once (a second time traps).
    @Test func cancellationRacesWithTheEnd() async throws {
        for _ in 0..<300 {
            let ticket = try ticket()
            let tasks = (0..<4).map { _ in Task { try await ticket.value } }
            async let settled: Void = { ticket.settle(.completed(.zeroed)) }()
            for task in tasks { task.cancel() }
            await settled
            for task in tasks { _ = await task.result }
        }
    }

    @Test func cancelAsksItsController() throws {
        let asked = Monitor<[TicketID]>([])
        let ticket = try ticket { id in
            asked.update { $0.append(id) }
            return asked.update { $0.count } == 1
        }
        #expect(ticket.cancel())
        #expect(!ticket.cancel())
        #expect(asked.update { $0 } == [TicketID(rawValue: 7), TicketID(rawValue: 7)])
        #expect(ticket.result == nil, "the controller settles it, nobody else")
    }
}
