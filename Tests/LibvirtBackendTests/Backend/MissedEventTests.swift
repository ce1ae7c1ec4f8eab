#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// More happens than the buffer of events has room for, and the back end looks for itself.
@Suite(.timeLimit(.minutes(60))) struct MissedEventTests {
    /// Lets so much happen to the domain that what happened before is not in the buffer any more.
    private static func flood(_ live: LiveGuest) throws {
        let events = live.backend.domain.events
        let uuid = live.backend.domain.uuid
        let isFull = LiveGuest.waits {
            for _ in 0..<20 {
                try live.backend.domain.use { domain throws(VirError) in
                    try domain.suspend()
                    try domain.resume()
                }
            }
            // Nobody else takes them while the thread rests.
            let taken = events.takeAll()
            for event in taken { events.append(event) }
            let isMissed = taken.filter { $0.domain == uuid }.allSatisfy { event in
                switch event.kind {
                case .deviceRemoved, .deviceRemovalFailed: false
                default: true
                }
            }
            return taken.first?.kind == .reconcile && isMissed
        }
        #expect(isFull)
    }

    /// Everything that can happen to a module while nobody hears of it, at once.
    @Test func whatHappenedMeanwhileIsSettledByWhatThereIs() throws {
        let live = try LiveGuest("missed", modules: [1, 1, 1, 1, 1], initial: .shared)
        try live.answerRemovals(.accept)
        #expect(try live.convert(live.module(4), to: .host) == .zeroed)
        try live.answerRemovals(.ignore)
        #expect(live.ownership == [.shared, .shared, .shared, .shared, .host])
        let (goes, _) = try live.begin(live.module(0), to: .host)
        var standstill: Standstill? = Standstill(live.backend)

        // The guest lets two go: one that it is asked for, and one that somebody else has asked it for.
        try live.answerRemovals(.accept)
        let alias = MemoryModule.alias(3)
        try live.backend.domain.use { domain throws(VirError) in try domain.requestDetach(alias: alias) }
        #expect(LiveGuest.waits { try live.plugged() == [1, 2] })
        // It refuses another one.
        try live.answerRemovals(.refuse)
        let (stays, _) = try live.begin(live.module(1), to: .host)
        // And somebody plugs in one that the host has.
        try live.backend.modules[4].plug(
            into: live.backend.domain,
            runBy: live.backend.emulator,
            live.backend.folders,
            patience: .zero,
            gate: OpenGate()
        )
        #expect(try live.plugged() == [1, 2, 4])
        #expect(live.ownership == [.inTransit, .inTransit, .shared, .shared, .host])
        try MissedEventTests.flood(live)
        #expect(goes.result == nil && stays.result == nil)

        standstill = nil
        _ = standstill
        #expect(goes.end == "completed, contents zeroed")
        guard case .failed(let refusal)? = stays.wait(for: LiveGuest.patience) else {
            Issue.record("\(stays.result.map { "\($0)" } ?? "pending")")
            return
        }
        #expect(refusal.code == .refusedByGuest)
        // What nobody wanted there is the guest's as long as it has it.
        #expect(LiveGuest.waits { live.ownership == [.host, .shared, .shared, .host, .shared] })
        #expect(try live.plugged() == [1, 2, 4])
        #expect(try live.backend.backedBytes(of: live.module(0)) == 0)
        #expect(try live.backend.backedBytes(of: live.module(3)) == 0)

        // An event that comes all the same changes nothing, and nothing ends twice.
        let uuid = live.backend.domain.uuid
        live.backend.domain.events.append(DomainEvent(domain: uuid, .deviceRemoved(MemoryModule.alias(0))))
        live.backend.domain.events.append(DomainEvent(domain: uuid, .deviceRemovalFailed(MemoryModule.alias(1))))
        live.backend.domain.events.append(DomainEvent(domain: nil, .reconcile))
        live.backend.executor.drain()
        #expect(live.ownership == [.host, .shared, .shared, .host, .shared])
        #expect(live.log.ends(of: goes).count == 1)
        #expect(live.log.ends(of: stays).count == 1)

        // All of them can change hands as before.
        try live.answerRemovals(.accept)
        for number in [1, 2, 4] {
            #expect(try live.convert(live.module(number), to: .host) == .zeroed)
        }
        #expect(live.ownership == [.host, .host, .host, .host, .host])
        #expect(try live.plugged() == [])
        try live.convert(live.module(0), to: .shared)
        #expect(try live.plugged() == [0])
    }

    /// The end of the domain is among what was missed.
    @Test func anEndThatWasMissedIsSeen() throws {
        let live = try LiveGuest("missed-end", modules: [1], initial: .shared)
        let (ticket, _) = try live.begin(live.module(), to: .host)
        var standstill: Standstill? = Standstill(live.backend)
        try MissedEventTests.flood(live)
        #expect(kill(live.backend.emulator, SIGKILL) == 0)
        #expect(LiveGuest.waits { try live.backend.domain.use { domain throws(VirError) in try domain.hasEnded() } })
        // What it says of that is dropped, too.
        _ = live.backend.domain.events.takeAll()
        live.backend.domain.events.append(DomainEvent(domain: nil, .reconcile))
        standstill = nil
        _ = standstill
        guard case .failed(let error)? = ticket.wait(for: LiveGuest.patience) else {
            Issue.record("\(ticket.result.map { "\($0)" } ?? "pending")")
            return
        }
        #expect(error.code == .lost)
        #expect(live.ownership == [.shared])
    }
}

#endif
