#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// What happens to a domain: for whoever wants to know, and for the back end itself where it could not be told.
@Suite(.timeLimit(.minutes(15))) struct DomainEventsTests {
    @Test func whoeverWantsToKnowIsToldUntilTheEnd() async throws {
        let live = try LiveGuest("told")
        let events = live.backend.domainEvents()
        let module = live.module()
        // Calls that block have a thread.
        let thread = try ThreadExecutor()
        let (controller, backend) = (live.controller, live.backend)
        try await thread.run {
            _ = try controller.convert(ConversionRequest(module, to: .shared, by: .host("test")))
            try backend.domain.use { domain throws(VirError) in
                try domain.suspend()
                try domain.resume()
            }
            kill(backend.emulator, SIGKILL)
        }
        var kinds: [DomainEvent.Kind] = []
        for await event in events { kinds.append(event.kind) }
        // The beginning may come in late, and the module's own event when it likes.
        let end = kinds.drop { $0 != .suspended }.filter { $0 != .deviceAdded("ua-custody-0") }
        #expect(end == [.suspended, .resumed, .stopped(.failed)])
        // Who comes late is told nothing.
        for await event in live.backend.domainEvents() { Issue.record("\(event)") }
        live.backend.shutDown()
    }

    /// That a domain has ended is seen by whoever looks, before libvirt tells of it, which it does all the same.
    @Test func theEndIsToldAlthoughItHasBeenSeenBefore() async throws {
        let live = try LiveGuest("seen")
        let events = live.backend.domainEvents()
        live.backend.executor.drain()
        _ = live.backend.lose(BackendError(.lost, "the process that ran the domain has ended"))
        live.backend.executor.drain()
        kill(live.backend.emulator, SIGKILL)
        var last: DomainEvent.Kind?
        for await event in events { last = event.kind }
        #expect(last == .stopped(.failed))
    }

    /// A sequence has an end where nobody tells of the domain's.
    @Test func theSequenceEndsWithALossThatNobodyTellsOf() async throws {
        let live = try LiveGuest("untold", patience: .milliseconds(50))
        let events = live.backend.domainEvents()
        _ = live.backend.lose(BackendError(.lost, "the domain is gone"))
        for await event in events where event.kind == .stopped(.destroyed) { Issue.record("\(event)") }
    }

    /// A module that is plugged in while the description is being read is not in that description, and is there.
    @Test func aDescriptionThatIsOldAlreadyTakesNothingAway() throws {
        let gate = MeanwhileGate()
        let live = try LiveGuest("described", gate: gate)
        try live.answerRemovals(.ignore)
        live.backend.executor.drain()
        let module = live.module()
        let controller = live.controller
        gate.doOnce(after: .libvirt(.describe)) {
            let done = DispatchSemaphore(value: 0)
            Foundation.Thread.detachNewThread {
                _ = try? controller.convert(ConversionRequest(module, to: .shared, by: .host("test")))
                done.signal()
            }
            done.wait()
        }
        live.backend.executor.submit { [backend = live.backend] in backend.reconcile() }
        live.backend.executor.drain()
        #expect(gate.isDone)
        #expect(live.ownership == [.shared])
        #expect(live.controller.pendingTickets.isEmpty)
        #expect(live.backend.ledger.withLock { $0.presence } == [.plugged])
        #expect(try live.plugged() == [0])
    }
}
#endif
