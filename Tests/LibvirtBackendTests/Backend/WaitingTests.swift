#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// What waits is held up by whom it waits for, and by nobody else.
@Suite(.timeLimit(.minutes(60))) struct WaitingTests {
    /// Libvirt does not answer. Another hand-over of the same guest completes, a third one expires, and another guest goes on.
    @Test(arguments: [LibvirtCall.describe, .attach])
    func aCallThatDoesNotReturnHoldsUpNobodyElse(call: LibvirtCall) throws {
        let gate = MeanwhileGate()
        let live = try LiveGuest("stuck-\(call)", modules: [1, 1, 1], gate: gate)
        let other = try LiveGuest("beside-stuck-\(call)", modules: [1])
        try other.answerRemovals(.accept)
        for number in 1...2 { try live.convert(live.module(number), to: .shared) }
        for number in 0...2 { try live.backend.map(live.module(number), as: "holder-\(number)") }
        live.backend.executor.drain()
        let (hasBegun, isOver) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        gate.doOnce(after: .libvirt(call)) {
            hasBegun.signal()
            isOver.wait()
        }
        var stuck: Ticket?
        if call == .attach {
            // Nobody holds the pages any more, and the guest is being given them.
            let (ticket, _) = try live.begin(live.module(0), to: .private, heldBy: ["holder-0"])
            try live.backend.release(as: "holder-0")
            stuck = ticket
        } else {
            live.backend.catchUp()
        }
        hasBegun.wait()

        let (completes, _) = try live.begin(live.module(1), to: .private, heldBy: ["holder-1"])
        try live.backend.release(as: "holder-1")
        #expect(completes.end == "completed, contents preserved")
        let (expires, _) = try live.begin(
            live.module(2),
            to: .private,
            heldBy: ["holder-2"],
            deadline: .milliseconds(200)
        )
        #expect(expires.end == "expired")
        try other.convert(other.module(), to: .private)
        try other.convert(other.module(), to: .host)
        #expect(stuck?.result == nil)
        // What the guest may have by now cannot be had back by a word.
        if let stuck { #expect(!stuck.cancel()) }

        isOver.signal()
        if let stuck { #expect(stuck.end == "completed, contents preserved") }
        live.backend.executor.drain()
        #expect(gate.isDone)
        #expect(live.ownership == [call == .attach ? .private : .host, .private, .shared])
    }

    /// Nobody looks after what has ended.
    @Test func theNextLookIsWithdrawnWithWhatItWasFor() throws {
        let executor = try TimelessExecutor()
        let live = try LiveGuest("looks", modules: [1, 1], executor: executor)
        // The look at what happened while it was made is over.
        live.backend.executor.drain()
        try live.convert(live.module(1), to: .shared)
        #expect(executor.timers == [])

        // Cancelled.
        try live.backend.map(live.module(), as: "a")
        let (cancelled, _) = try live.begin(live.module(), to: .private, heldBy: ["a"])
        #expect(executor.timers.count == 1)
        #expect(cancelled.cancel())
        #expect(executor.timers == [])
        // Completed.
        let (completed, _) = try live.begin(live.module(), to: .private, heldBy: ["a"])
        #expect(executor.timers.count == 1)
        try live.backend.release(as: "a")
        #expect(completed.end == "completed, contents preserved")
        #expect(LiveGuest.waits { executor.timers == [] })
        // Refused.
        try live.answerRemovals(.refuse)
        let (refused, _) = try live.begin(live.module(1), to: .host)
        #expect(refused.wait(for: LiveGuest.patience) != nil)
        #expect(LiveGuest.waits { executor.timers == [] })
        // Lost.
        try live.backend.map(live.module(1), as: "b")
        let (lost, _) = try live.begin(live.module(1), to: .private, heldBy: ["b"])
        #expect(executor.timers.count == 1)
        let before = executor.timers
        _ = live.backend.lose(BackendError(.lost, "for the test"))
        #expect(lost.wait(for: LiveGuest.patience) != nil)
        #expect(executor.timers.isDisjoint(with: before))
    }
}
#endif
