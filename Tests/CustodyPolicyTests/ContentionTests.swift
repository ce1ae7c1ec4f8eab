import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@testable import CustodyPolicy

/// What threads that have nothing to do with each other have to wait for, counted.
@Suite struct ContentionTests {
    /// A back end in the middle of whose copies threads stay until they are let go.
    private struct HeldCopies {
        private struct State {
            var arrived = 0
            var isOpen = false
        }

        let controller: MemoryController
        private let state = Monitor(State())

        init() throws {
            let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<128), executor: VirtualExecutor())
            controller = MemoryController(backend: backend, policy: AllowAll())
            backend.amidEachAccess { [state] in
                state.update { $0.arrived += 1 }
                state.wait { $0.isOpen ? () : nil }
            }
        }

        /// Has so many threads copy at the same time, and looks at it while all of them are in the middle of it.
        func look(_ count: Int, _ body: () -> Void) throws {
            let crew = try ThreadCrew(count)
            let done = Monitor(false)
            try Thread.start { [controller] in
                crew.run { number in
                    var word: [8 of UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
                    var span = word.mutableSpan
                    let address = GuestPhysicalAddress(UInt64(number) * 4096)
                    try? controller.read(&span, from: address, for: Holder(device: "t\(number)"))
                }
                done.update { $0 = true }
            }
            state.wait { $0.arrived == count ? () : nil }
            body()
            state.update { $0.isOpen = true }
            done.wait { $0 ? () : nil }
        }
    }

    /// Numbers of threads lie a stack apart: threads begin to look at places of their own all the same.
    @Test(arguments: [0x1000, 0x11000, 0x80_1000, 0x80_2000, 0x90_0000, 0x100_1000, 0x400_0000] as [UInt])
    func threadsBeginAtDifferentPlaces(stack: UInt) {
        for (threads, least) in [(2, 2), (8, 5), (64, 40)] as [(UInt, Int)] {
            let places = (0..<threads).map { AccessBoard.place(of: 0x7fff_f7ff_f6c0 - $0 * stack) }
            #expect(Set(places).count >= least && places.allSatisfy { $0 < UInt(AccessBoard.places) })
        }
    }

    /// Each copy has a place of its own as long as there are places: none of them takes the lock.
    @Test(arguments: [1, 2, 8, 64]) func copiesAtTheSameTimeHaveAPlaceEachAndTakeNoLock(threads: Int) throws {
        let copies = try HeldCopies()
        let before = copies.controller.state.acquisitions
        try copies.look(threads) {
            #expect(copies.controller.accesses.taken == threads)
            #expect(copies.controller.state.acquisitions == before + 1, "this look's own")
        }
        #expect(copies.controller.state.acquisitions == before + 2)
        #expect(copies.controller.accesses.taken == 0)
    }

    /// The 65th goes another way: into the ledger and out of it, under the lock.
    @Test func aCopyWithoutAPlaceTakesTheLockTwice() throws {
        let copies = try HeldCopies()
        let before = copies.controller.state.acquisitions
        try copies.look(66) {
            #expect(copies.controller.accesses.taken == AccessBoard.places)
            #expect(copies.controller.state.acquisitions == before + 3)
        }
        #expect(copies.controller.state.acquisitions == before + 6)
    }

    /// Once to claim the pages and once to end the claim, with listeners or without.
    @Test(arguments: [0, 2]) func aConversionTakesTheLockTwice(listeners: Int) throws {
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<64), executor: VirtualExecutor())
        let controller = MemoryController(backend: backend, policy: AllowAll())
        for _ in 0..<listeners { try controller.add(RecordingListener(bounds: controller.layout.bounds)) }
        let before = controller.state.acquisitions
        for count in 0..<100 as Range<UInt64> {
            let target: Ownership = count % 2 == 0 ? .private : .shared
            let page = try PageRange(pages: count / 2..<(count / 2 + 1))
            _ = try controller.convert(ConversionRequest(page, to: target, by: .guest(processor: 0)))
        }
        #expect(controller.state.acquisitions == before + 201)
    }
    @Test func aLeaseTakesTheLockOnceAndItsReleaseOnce() throws {
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<64), executor: VirtualExecutor())
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let before = controller.state.acquisitions
        for page in 0..<50 as Range<UInt64> {
            try controller.lease(PageRange(pages: page..<64), .pin, for: Holder(device: "nic")).release()
        }
        #expect(controller.state.acquisitions == before + 101)
    }

    @Test func questionsTakeTheLockOnce() throws {
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<64), executor: VirtualExecutor())
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let all = controller.layout.bounds
        let before = controller.state.acquisitions
        _ = controller.ownership(of: all.start)
        _ = controller.runs(in: all)
        _ = controller.blockers(of: all)
        _ = controller.tally
        _ = controller.pendingTickets
        _ = controller.snapshot()
        _ = controller.run(containing: all.start)
        #expect(controller.state.acquisitions == before + 8)
    }
}
