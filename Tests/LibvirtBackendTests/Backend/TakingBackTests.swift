#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import GuestChannel
import Testing

@testable import LibvirtBackend

/// A listener refuses a change after a module has been plugged in: the guest is asked to give it back, and what is shown
/// is who has it.
@Suite(.timeLimit(.minutes(60))) struct TakingBackTests {
    /// Refuses pages that the host gains, from a moment on.
    private final class Refusing: OwnershipListener {
        let name = "iommu"
        private let state = Locked((isRefusing: false, reached: [HostAccessChange]()))

        func refuse() { state.withLock { $0.isRefusing = true } }
        /// What it was told and does not know to be off.
        var granted: [PageRange] { state.withLock { $0.reached.map(\.range) } }

        func prepare(_ change: HostAccessChange) throws(ListenerVeto) {
            if change.isGranted, state.withLock({ $0.isRefusing }) { throw ListenerVeto("the map is full") }
        }

        func commit(_ change: HostAccessChange) {
            state.withLock { state in
                if change.isGranted { state.reached.append(change) }
                if !change.isGranted { state.reached.removeAll { $0.range == change.range } }
            }
        }

        func rollBack(_ change: HostAccessChange) {}
    }

    /// A module that the host has, and a private one, which together cannot be shared because a listener refuses the second.
    private struct Story {
        let live: LiveGuest
        let listener = Refusing()
        let both: PageRange

        init(_ name: String, _ answer: RemovalAnswer) throws {
            live = try LiveGuest(
                name,
                modules: [2, 1],
                limits: ControllerLimits(holes: .ignore),
                // A guest that says nothing does not do so later either.
                patience: answer == .ignore ? .milliseconds(200) : LiveGuest.patience
            )
            try live.convert(live.module(1), to: .private)
            #expect(try live.perform(.write([9], to: live.module(1).address)) == .written)
            try live.controller.add(listener)
            listener.refuse()
            try live.answerRemovals(answer)
            let start = live.module(0).start
            both = try PageRange(start: start, count: live.module(1).end - start.rawValue)
        }

        func refuse() throws {
            let error = #expect(throws: ConversionError.self) { try live.convert(both, to: .shared) }
            #expect(error?.code == .vetoed)
            #expect(error?.message == "iommu refuses: the map is full")
            #expect(listener.granted == [live.module(0)])
            // The secret was closed again.
            #expect(live.ownership[1] == .private)
            #expect(!live.backend.modules[1].isShown(live.module(1)))
        }
    }

    @Test func aGuestThatLetsItGoLeavesNothing() throws {
        let story = try Story("undone", .accept)
        let live = story.live
        try story.refuse()
        #expect(live.ownership == [.host, .private])
        #expect(try live.plugged() == [1])
        #expect(try live.backend.backedBytes(of: live.module()) == 0)
        #expect(try live.backend.modules[0].file.isOurs())
        #expect(live.log.found == [])
        // As if nothing had been asked.
        try live.convert(live.module(), to: .shared)
        #expect(live.ownership == [.shared, .private])
        #expect(try live.plugged() == [0, 1])
    }

    /// Another process that has had the file all the time is not in the way.
    @Test func anotherProcessDoesNotHoldItUp() throws {
        let story = try Story("undone-mapped", .accept)
        let live = story.live
        try live.backend.map(live.module(), as: "loader")
        try story.refuse()
        #expect(live.ownership == [.host, .private])
        #expect(try live.plugged() == [1])
        try live.backend.release(as: "loader")
    }

    @Test func aGuestThatRefusesHasItAndIsShownToHaveIt() throws {
        let story = try Story("kept", .refuse)
        let live = story.live
        try story.refuse()
        #expect(live.ownership == [.shared, .private])
        #expect(try live.plugged() == [0, 1])
        #expect(live.log.found.map { "\($0)" } == ["\(live.module()) host → shared"])
        // Both have it.
        let address = live.module().address
        #expect(try live.perform(.write([5, 6], to: address)) == .written)
        var bytes: [UInt8] = [0, 0]
        var span = bytes.mutableSpan
        try live.controller.read(&span, from: address, for: Holder(device: "test"))
        #expect(bytes == [5, 6])
        // It goes back as any module does.
        let (refused, _) = try live.begin(live.module(), to: .host)
        #expect(refused.end.hasPrefix("failed: "))
        #expect(live.ownership == [.shared, .private])
        try live.answerRemovals(.accept)
        #expect(try live.convert(live.module(), to: .host) == .zeroed)
        #expect(live.ownership == [.host, .private])
        #expect(try live.plugged() == [1])
    }

    /// A hand-over that has plugged a module in and waits for another process is cancelled.
    @Test(arguments: [RemovalAnswer.accept, .refuse])
    func whatACancelledHandOverHasGivenIsTakenBackOrShared(answer: RemovalAnswer) throws {
        let live = try LiveGuest(
            "cancelled-\(answer)",
            modules: [1, 1],
            limits: ControllerLimits(holes: .ignore)
        )
        try live.convert(live.module(1), to: .shared)
        try live.answerRemovals(answer)
        try live.backend.map(live.module(1), as: "backup")
        let start = live.module(0).start
        let both = try PageRange(start: start, count: live.module(1).end - start.rawValue)
        let (ticket, _) = try live.begin(both, to: .private, heldBy: ["backup"])
        #expect(try live.plugged() == [0, 1])
        // What the guest keeps is not as before: that is no cancellation.
        let kept = answer == .refuse
        #expect(ticket.cancel() == !kept)
        #expect(live.ownership == [kept ? .shared : .host, .shared])
        #expect(try live.plugged() == (kept ? [0, 1] : [1]))
        #expect(live.log.found.map(\.range) == (kept ? [live.module(0)] : []))
        let end = kept ? "failed: refused-by-guest, the guest keeps what it was given" : "cancelled"
        #expect(live.log.ends(of: ticket).map { "\($0)" } == [end])
        // The host has both again, as it had.
        for module in live.backend.modules { #expect(module.isShown(module.range)) }
        try live.controller.write([1].span, to: live.module(0).address, for: Holder(device: "test"))
        try live.backend.release(as: "backup")
    }

    @Test func aGuestThatSaysNothingHasItUntilItLetsGo() throws {
        let story = try Story("silent", .ignore)
        let live = story.live
        try story.refuse()
        #expect(live.ownership == [.shared, .private])
        #expect(try live.plugged() == [0, 1])
        #expect(live.log.found.map { "\($0)" } == ["\(live.module()) host → shared"])
        // The question stands: when it is answered the host has the module.
        try live.answerRemovals(.accept)
        #expect(LiveGuest.waits { live.ownership == [.host, .private] })
        #expect(try live.plugged() == [1])
        #expect(LiveGuest.waits { try live.backend.backedBytes(of: live.module()) == 0 })
        #expect(live.controller.pendingTickets.isEmpty)
        try live.convert(live.module(), to: .private)
        #expect(live.ownership == [.private, .private])
    }
}
#endif
