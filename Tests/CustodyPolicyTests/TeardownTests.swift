import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// A controller that goes away with hand-overs pending: nobody waits for ever.
@Suite struct TeardownTests {
    private func backend() throws -> (FakeBackend, VirtualExecutor) {
        let clock = VirtualExecutor()
        return (FakeBackend(try GuestMemoryLayout(pages: 0..<8), executor: clock), clock)
    }

    private func request(_ pages: Range<UInt64>) throws -> ConversionRequest {
        ConversionRequest(try PageRange(pages: pages), to: .private, by: .host("vmm"))
    }

    @Test func betweenTheLastReleaseAndItsCompletion() throws {
        let (backend, clock) = try backend()
        let ticket: Ticket?
        do {
            let controller = MemoryController(backend: backend, policy: AllowAll())
            let lease = try controller.lease(PageRange(pages: 0..<1), .pin, for: Holder(device: "nic"))
            ticket = try controller.convert(request(0..<4)).ticket
            lease.release()
        }
        clock.drain()
        #expect(ticket?.result != nil)
        #expect(backend.openChanges.isEmpty && backend.violations.isEmpty)
    }

    /// Who is not there any more is not asked for anything, and nothing waits for its time.
    @Test func withoutATimer() throws {
        let (backend, clock) = try backend()
        do {
            let controller = MemoryController(backend: backend, policy: Terms.timeBox(.seconds(60)))
            _ = try controller.convert(request(0..<2))
            _ = try controller.convert(ConversionRequest(PageRange(pages: 0..<2), to: .shared, by: .host("vmm")))
            #expect(clock.timerCount == 1, "a time box")
            backend.plan { $0.commit[3] = .pend }
            _ = try controller.convert(request(4..<6))
            controller.guestOffers(try PageRange(pages: 4..<6))
            #expect(clock.timerCount == 2, "and an offer that is to be asked for again")
        }
        clock.drain()
        #expect(clock.timerCount == 0 && clock.workCount == 0)
        #expect(backend.openChanges.isEmpty && backend.waiting.isEmpty && backend.violations.isEmpty)
    }

    /// What the back end has done and cannot take back is done: all of it, or a part and then the guest's state is not known.
    @Test(arguments: [false, true]) func afterTheBackEndHasDoneIt(inPart: Bool) throws {
        let (backend, clock) = try backend()
        let ticket: Ticket?
        do {
            let controller = MemoryController(backend: backend, policy: AllowAll())
            _ = try controller.convert(ConversionRequest(PageRange(pages: 2..<4), to: .private, by: .host("vmm")))
            backend.plan {
                $0.commit[inPart ? 2 : 3] = .pend
                $0.withdrawSucceeds = false
            }
            ticket = try controller.convert(request(0..<8)).ticket
        }
        clock.drain()
        #expect(ticket?.result?.description.hasPrefix(inPart ? "failed: lost" : "completed") == true)
        #expect(backend.calls.contains { if case .undo = $0 { true } else { false } } == false)
    }

    @Test func whileTheBackendHoldsIt() throws {
        let (backend, clock) = try backend()
        let ticket: Ticket?
        do {
            let controller = MemoryController(backend: backend, policy: AllowAll())
            _ = try controller.convert(ConversionRequest(PageRange(pages: 2..<3), to: .private, by: .host("vmm")))
            backend.plan { $0.commit = [3: .pend] }
            ticket = try controller.convert(request(0..<8)).ticket
            #expect(ticket?.result == nil)
            backend.forgetCalls()
        }
        #expect(ticket?.result == nil && backend.calls.isEmpty, "who lets go of it does not wait for its end")
        clock.drain()
        #expect(ticket?.result?.word == "cancelled")
        #expect(ticket?.cancel() == false)
        #expect(backend.openChanges.isEmpty && backend.waiting.isEmpty && backend.violations.isEmpty)
        #expect(backend.ownership.runs.map(\.state) == [.shared, .private, .shared])
    }
}
