import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Synchronization
import Testing

/// The nine promises that the package makes, one test each. The other files go into their corners.
@Suite(.timeLimit(.minutes(60))) struct PromiseTests {
    private struct Scene {
        let backend: SimulationBackend
        let controller: MemoryController

        init(_ contents: ContentsEffect = .zeroed) throws {
            let layout = try GuestMemoryLayout(pages: 0..<16)
            backend = SimulationBackend(
                guest: GuestConfiguration(layout: layout),
                options: SimulationOptions(contents: contents)
            )
            controller = MemoryController(backend: backend, policy: AllowAll())
        }

        func convert(_ pages: Range<UInt64>, _ target: Ownership, _ requester: Requester = .host("vmm")) throws
            -> ConversionOutcome
        {
            try controller.convert(ConversionRequest(PageRange(pages: pages), to: target, by: requester))
        }
    }

    @Test func promise1NoPageIsAccessibleToAPartyThatItsOwnershipDenies() throws {
        let scene = try Scene()
        let requester = Requester.guest(processor: 0)
        for ownership in [Ownership.shared, .private, .host] {
            #expect(try scene.convert(3..<4, ownership, requester).isCompleted)
            let address = GuestPhysicalAddress(3 * 4096)
            var bytes: [UInt8] = [0]
            var isReached = true
            do throws(BackendError) {
                var span = bytes.mutableSpan
                try scene.backend.read(&span, from: address)
            } catch { isReached = false }
            #expect(isReached == ownership.allows(.host), "past the ledger, \(ownership)")
            isReached = true
            do throws(AccessError) {
                try scene.controller.write(bytes.span, to: address, for: Holder(device: "x"))
            } catch {
                isReached = false
            }
            #expect(isReached == ownership.allows(.host), "through the ledger, \(ownership)")
            let outcome = try scene.backend.perform(
                .read(count: 1, from: address),
                on: 0,
                answeringTo: scene.controller
            )
            #expect((outcome == .fault(address)) == !ownership.allows(.guest), "the guest, \(ownership)")
        }
        #expect(scene.controller.capabilities.enforcement == .process)
    }

    /// In transit neither side may reach a page; where a back end cannot stop the guest, its capabilities say so.
    @Test func promise1HoldsInTransitOrIsExceptedByACapability() throws {
        let scene = try Scene()
        let lease = try scene.controller.lease(PageRange(pages: 3..<4), .pin, for: Holder(device: "nic"))
        #expect(try scene.convert(3..<4, .private).ticket != nil)
        let address = GuestPhysicalAddress(3 * 4096)
        let outcome = try scene.backend.perform(.read(count: 1, from: address), on: 0, answeringTo: scene.controller)
        let expected: GuestOutcome =
            switch scene.controller.capabilities.transitAccess {
            case .denied: .fault(address)
            case .asBefore: .bytes([0])
            }
        #expect(outcome == expected)
        lease.release()
    }

    @Test func promise2AFailedOrCancelledChangeLeavesEveryPageAsItWas() throws {
        let fixture = try ControllerFixture(pages: 0..<12)
        try fixture.convert(4..<8, to: .private)
        let before = fixture.map
        fixture.backend.plan { $0.commit[3] = .fail(BackendError(.system, "EIO")) }
        #expect(try fixture.refusal(0..<12, to: .private) == .backend)
        #expect(fixture.map == before && fixture.isQuiet)
        var pending = try fixture.pending(0..<12, pinned: 11..<12)
        #expect(fixture.map == "----PPPP----")
        pending.ticket.cancel()
        #expect(fixture.map == before)
        pending.release()
        #expect(fixture.isQuiet)
    }

    @Test func promise3ARangeInTheTargetStateIsANoOpWhateverItsReferences() throws {
        let fixture = try ControllerFixture(policy: FixedPolicy(decision: .deny(PolicyReason(rule: "test", "no"))))
        let mapping = try fixture.lease(0..<4, .mapping)
        let pin = try fixture.lease(2..<6, .pin)
        let preserving = ConversionRequest(
            try PageRange(pages: 0..<8),
            to: .shared,
            by: .host("vmm"),
            contents: .preserved
        )
        #expect(try fixture.controller.convert(preserving).isCompleted, "whatever the back end could do")
        let reclaimed = try ControllerFixture(initially: .host, reclaim: .unsupported)
        #expect(try reclaimed.convert(0..<8, to: .host).isCompleted)
        let outcome = try fixture.convert(0..<8, to: .shared)
        #expect(outcome.isCompleted && outcome.changedPages == 0 && outcome.stoppedAt == nil)
        #expect(fixture.backend.calls.isEmpty && fixture.policy.asked == 0)
        mapping.release()
        pin.release()
    }

    @Test func promise4APendingHandOverCompletesExactlyOnceAndNotBeforeTheLastReferenceIsDropped() throws {
        let fixture = try ControllerFixture()
        var leases = try [0..<1, 0..<4, 3..<8].map { LeaseBox(try fixture.lease($0)) }
        let ticket = try #require(try fixture.convert(0..<8, to: .private).ticket)
        while let last = leases.popLast() {
            fixture.clock.pass(.seconds(1))
            #expect(ticket.result == nil && fixture.backend.calls.isEmpty)
            last.release()
        }
        fixture.clock.pass(.seconds(1))
        #expect(ticket.result?.word == "completed")
        #expect(fixture.events.settlements.count == 1)
        #expect(fixture.isQuiet)
    }

    @Test func promise5AFinalReleaseHandsOverToACompleter() throws {
        let fixture = try ControllerFixture()
        var pending = try fixture.pending(0..<8, pinned: 0..<1)
        let isReleasing = Atomic<Bool>(false)
        fixture.backend.atEachCall { _ in
            if isReleasing.load(ordering: .sequentiallyConsistent) { Issue.record("called by the releaser") }
        }
        isReleasing.store(true, ordering: .sequentiallyConsistent)
        pending.release()
        isReleasing.store(false, ordering: .sequentiallyConsistent)
        #expect(fixture.backend.calls.isEmpty && pending.ticket.result == nil)
        fixture.clock.drain()
        #expect(pending.ticket.result?.word == "completed")
    }

    @Test(arguments: [ContentsEffect.zeroed, .preserved])
    func promise6DiscardingChangesNoOwnershipAndConversionsSayWhatTheyDoToContents(effect: ContentsEffect) throws {
        let scene = try Scene(effect)
        let address = GuestPhysicalAddress(0)
        let secret: [UInt8] = [1, 2, 3]
        try scene.controller.write(secret.span, to: address, for: Holder(device: "vmm"))
        let outcome = try scene.convert(0..<2, .private)
        #expect(outcome.contents == effect)
        let load = GuestOperation.read(count: 3, from: address)
        let read = try scene.backend.perform(load, on: 0, answeringTo: scene.controller)
        #expect(read == .bytes(effect == .zeroed ? [0, 0, 0] : secret))
        try scene.backend.discardContents(of: PageRange(pages: 0..<1))
        #expect(scene.controller.ownership(of: PageNumber(0)) == .private)
        #expect(try scene.backend.perform(load, on: 0, answeringTo: scene.controller) == .bytes([0, 0, 0]))
        let opposite: ConversionRequest.Contents = effect == .zeroed ? .preserved : .zeroed
        let request = ConversionRequest(try PageRange(pages: 0..<2), to: .shared, by: .host("vmm"), contents: opposite)
        #expect(throws: ConversionError.self) { try scene.controller.convert(request) }
    }

    @Test func promise7OrderFollowsDirection() throws {
        // Taking away: users are kept off first, then the back end, then what is stale goes.
        let fixture = try ControllerFixture()
        let refused = Atomic<Int>(0)
        fixture.backend.atEachCall { [weak fixture] _ in
            guard let fixture else { return }
            do { try fixture.lease(0..<1).release() } catch { refused.add(1, ordering: .sequentiallyConsistent) }
        }
        try fixture.convert(0..<4, to: .private)
        #expect(
            fixture.events.words.filter { $0 != "lease" } == [
                "requested", "policy", "prepared", "committed", "finished", "answered",
            ]
        )
        #expect(refused.load(ordering: .sequentiallyConsistent) == 3, "in each of the three steps")
        // Giving: the back end first, and only then may the host have it.
        try fixture.convert(0..<4, to: .shared)
        #expect(refused.load(ordering: .sequentiallyConsistent) == 6)
        fixture.backend.atEachCall(nil)
        try fixture.lease(0..<1).release()
        #expect(fixture.isQuiet)
    }

    @Test func promise8WhatAGuestSendsIsBoundedAndNeverTraps() throws {
        let fixture = try ControllerFixture(limits: ControllerLimits(pendingHandovers: 4, runsPerGuestRequest: 8))
        let pin = try fixture.lease(0..<64)
        var replies: Set<GuestReply> = []
        for round in 0..<64 as Range<UInt64> {
            for (address, count) in [(round * 4096, 4096), (round * 4096, .max), (.max, .max), (round, 1)]
                as [(UInt64, UInt64)]
            {
                let request = GuestRequest(processor: .max, address: address, byteCount: count, target: .private)
                replies.insert(fixture.controller.handle(request))
            }
        }
        #expect(fixture.controller.pendingTickets.count == 4)
        #expect(replies.contains(.refused) && !replies.contains(.done))
        pin.release()
        fixture.clock.drain()
        #expect(fixture.isQuiet)
    }

    /// No lock is held across a call of the back end, the policy or the observer: each may use the controller.
    @Test func promise9NoLockIsHeldAcrossForeignCodeAndOneCallIsMadeForARun() throws {
        let fixture = try ControllerFixture(policy: LookingPolicy())
        fixture.backend.atEachCall { [weak fixture] _ in
            guard let fixture else { return }
            _ = fixture.controller.ownership(of: PageNumber(0))
            _ = fixture.controller.pendingTickets
            _ = try? fixture.convert(40..<44, to: .private)
        }
        try fixture.convert(0..<32, to: .private)
        fixture.backend.atEachCall(nil)
        let commits = fixture.backend.calls.filter { if case .commit = $0 { true } else { false } }
        #expect(commits.count == 2, "one for each maximal run")
        #expect(fixture.isQuiet)
    }

    private struct LookingPolicy: Policy {
        func decide(
            _ request: ConversionRequest,
            in view: PolicyView,
            remembering memory: inout PolicyMemory
        ) -> PolicyDecision {
            _ = view.pageCount(of: .shared, in: request.range)
            return .allow
        }
    }
}
