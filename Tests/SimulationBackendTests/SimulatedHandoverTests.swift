import Custody
import CustodyProtocols
import CustodyTestSupport
import SimulationBackend
import Testing

/// Changes that cannot be made at once, and faults: what the simulation answers and reports, without a controller.
@Suite struct SimulatedHandoverTests {
    private typealias KernelOperation = CustodyProtocols.Operation

    private struct Guest {
        let backend: SimulationBackend
        let reports = BackendReports()

        init(_ options: SimulationOptions) throws {
            let regions = try [PageRange(pages: 0..<16), PageRange(pages: 32..<48)]
            backend = SimulationBackend(
                guest: GuestConfiguration(layout: try GuestMemoryLayout(regions: regions)),
                options: options
            )
            backend.report(to: reports)
        }

        func commit(_ pages: Range<UInt64>, _ from: Ownership, _ to: Ownership) throws -> Answer {
            let change = OwnershipChange(range: try PageRange(pages: pages), from: from, to: to, initiator: .host)
            switch try backend.commit(backend.prepare(change)) {
            case .completed(let committed):
                _ = backend.finish(committed)
                return .completed
            case .blocked(let blockers): return .blocked(blockers)
            case .pending(let handover, let blockers): return .pending(handover, blockers)
            }
        }

        func code(_ body: () throws -> Void) -> BackendError.Code? {
            do { try body() } catch { return (error as? BackendError)?.code }
            return nil
        }

        func write(_ bytes: [UInt8], _ page: UInt64) throws {
            try backend.write(bytes.span, to: GuestPhysicalAddress(page * 4096))
        }

        func read(_ page: UInt64) throws -> [UInt8] {
            var bytes: [UInt8] = [9, 9, 9]
            var span = bytes.mutableSpan
            try backend.read(&span, from: GuestPhysicalAddress(page * 4096))
            return bytes
        }

        func hold(_ page: UInt64, as name: String) -> Bool {
            backend.begin(name, KernelOperation(.hold, accesses: 0), frame: page, isStopped: true)
        }
    }

    private enum Answer {
        case completed
        case blocked([Blocker])
        case pending(BackendHandover, [Blocker])

        var isCompleted: Bool { if case .completed = self { true } else { false } }
        var handover: BackendHandover? { if case .pending(let handover, _) = self { handover } else { nil } }

        /// Who holds which page, and how.
        var holders: [String] {
            switch self {
            case .completed: []
            case .blocked(let blockers), .pending(_, let blockers):
                blockers.map { "\($0.holder.device) \($0.kind.rawValue) \($0.range.start.rawValue)+\($0.range.count)" }
            }
        }
    }

    private func guest(_ options: SimulationOptions = SimulationOptions(contents: .preserved)) throws -> Guest {
        try Guest(options)
    }

    // MARK: References that only the kernel knows

    @Test func aReferenceIsWaitedForByName() throws {
        let guest = try guest()
        for page in 4..<6 as Range<UInt64> { try guest.write([1, 2, 3], page) }
        #expect(guest.hold(4, as: "dma") && guest.hold(5, as: "splice"))
        #expect(!guest.hold(5, as: "dma"), "a name is somebody's")
        let answer = try guest.commit(4..<5, .shared, .private)
        let handover = try #require(answer.handover)
        #expect(answer.holders == ["dma pin 4+1"])
        _ = guest.backend.finish("splice")
        guest.backend.clock.drain()
        #expect(guest.reports.words.isEmpty)
        _ = guest.backend.finish("dma")
        #expect(guest.reports.words.isEmpty, "on the executor")
        guest.backend.clock.drain()
        #expect(guest.reports.words == ["completed \(handover.rawValue)"])
        #expect(!guest.backend.withdraw(handover))
        #expect(guest.code { _ = try guest.read(4) } == .accessDenied)
    }

    @Test func whatIsWithdrawnIsAsBefore() throws {
        let guest = try guest()
        try guest.write([1, 2, 3], 4)
        #expect(guest.hold(4, as: "dma"))
        let first = try #require(try guest.commit(4..<5, .shared, .private).handover)
        #expect(guest.backend.withdraw(first) && !guest.backend.withdraw(first), "once")
        #expect(try guest.read(4) == [1, 2, 3])
        let second = try #require(try guest.commit(4..<5, .shared, .private).handover)
        _ = guest.backend.finish("dma")
        #expect(guest.backend.state(frame: 4)?.page.mappability != Mappability.all)
        #expect(guest.backend.withdraw(second), "the last reference is gone, and nobody has completed it yet")
        guest.backend.clock.drain()
        #expect(try guest.read(4) == [1, 2, 3] && guest.reports.words.isEmpty)
    }

    /// Where the last put completes it, it has completed before that is reported: it is not withdrawn any more.
    @Test func whatIsCompleteIsNotWithdrawn() throws {
        let guest = try guest(SimulationOptions(handover: .version5, contents: .preserved))
        try guest.write([1, 2, 3], 4)
        #expect(guest.hold(4, as: "dma"))
        let handover = try #require(try guest.commit(4..<5, .shared, .private).handover)
        _ = guest.backend.finish("dma")
        #expect(guest.backend.state(frame: 4)?.page.mappability == Mappability.guest)
        #expect(!guest.backend.withdraw(handover) && guest.reports.words.isEmpty)
        guest.backend.clock.drain()
        #expect(guest.reports.words == ["completed \(handover.rawValue)"])
    }

    /// A page that another address space has mapped is in the way of all that are asked for, and nothing stays of it.
    @Test func aMappingIsInTheWay() throws {
        let guest = try guest()
        for page in 4..<6 as Range<UInt64> { try guest.write([1, 2, 3], page) }
        _ = guest.backend.call(KernelOperation(.hostAccess, addressSpace: 1), frame: 5)
        for _ in 0..<2 {
            let answer = try guest.commit(4..<6, .shared, .private)
            #expect(answer.handover == nil && answer.holders == ["another address space mapping 5+1"])
            #expect(try guest.read(4) == [1, 2, 3], "it is as before")
        }
        _ = guest.backend.call(KernelOperation(.hostUnmap, addressSpace: 1), frame: 5)
        #expect(try guest.commit(4..<6, .shared, .private).isCompleted)
    }

    /// A folio that stays because only a part of it is discarded is empty there.
    @Test func aPartOfAFolioIsDiscarded() throws {
        let guest = try guest(SimulationOptions(contents: .preserved, pagesPerFolio: 4))
        for page in 4..<6 as Range<UInt64> { try guest.write([1, 2, 3], page) }
        try guest.backend.discardContents(of: PageRange(pages: 4..<5))
        #expect(try guest.read(4) == [0, 0, 0] && guest.read(5) == [1, 2, 3])
    }

    // MARK: Other processes

    @Test func anotherProcessIsWaitedFor() throws {
        let guest = try guest()
        try guest.backend.map(PageRange(pages: 0..<2), as: "backup")
        #expect(guest.code { try guest.backend.map(PageRange(pages: 4..<5), as: "backup") } == .invalidArgument)
        #expect(guest.code { try guest.backend.map(PageRange(pages: 15..<33), as: "other") } == .invalidArgument)
        try guest.write([1, 2, 3], 1)
        #expect(try guest.backend.read(3, from: GuestPhysicalAddress(4096), as: "backup") == [1, 2, 3])
        let edge = GuestPhysicalAddress(2 * 4096 - 1)
        #expect(guest.code { _ = try guest.backend.read(2, from: edge, as: "backup") } == .invalidArgument)
        #expect(guest.code { try guest.backend.write([1], to: edge, as: "nobody") } == .invalidArgument)
        let answer = try guest.commit(8..<12, .shared, .private)
        let handover = try #require(answer.handover)
        #expect(answer.holders == ["backup mapping 8+4"], "it can be grown over the rest of the region")
        #expect(guest.code { try guest.backend.map(PageRange(pages: 0..<1), as: "other") } == .accessDenied)
        try guest.backend.release(as: "backup")
        #expect(guest.code { try guest.backend.release(as: "backup") } == .invalidArgument)
        guest.backend.clock.drain()
        #expect(guest.reports.words == ["completed \(handover.rawValue)"])
        #expect(guest.code { try guest.backend.map(PageRange(pages: 0..<1), as: "other") } == .accessDenied, "8 to 11")
        try guest.backend.map(PageRange(pages: 32..<33), as: "other")
    }

    // MARK: Modules

    @Test(arguments: [RemovalAnswer.accept, .refuse, .ignore])
    func aGuestIsAskedForAModule(answer: RemovalAnswer) throws {
        let guest = try guest(SimulationOptions(contents: .preserved, modules: true))
        guest.backend.answer(answer)
        let asked = try guest.commit(0..<16, .shared, .host)
        let handover = try #require(asked.handover)
        #expect(asked.holders == ["guest mapping 0+16"])
        guest.backend.clock.drain()
        switch answer {
        case .accept:
            #expect(
                guest.reports.words == ["advanced \(handover.rawValue): []", "completed \(handover.rawValue)"]
            )
            #expect(!guest.backend.withdraw(handover))
        case .refuse:
            #expect(guest.reports.words == ["failed \(handover.rawValue): refused-by-guest"])
            #expect(!guest.backend.withdraw(handover), "it is over")
        case .ignore:
            #expect(guest.reports.words.isEmpty)
            #expect(guest.backend.withdraw(handover) && !guest.backend.withdraw(handover))
            // The guest cannot be told: what it lets go of later is offered.
            guest.backend.answer(.accept)
            guest.backend.clock.drain()
            #expect(guest.reports.words == ["offered 16"])
            #expect(try guest.commit(0..<16, .shared, .host).isCompleted, "what has been offered is taken at once")
        }
    }

    // MARK: Faults

    @Test func aFaultHappensOnce() throws {
        let guest = try guest(
            SimulationOptions(latency: .zero, faults: [Fault(at: .prepare, occurrence: 2, .fail(.busy))])
        )
        for number in 1...4 as ClosedRange<UInt64> {
            let code = guest.code { _ = try guest.commit(number..<(number + 1), .shared, .private) }
            #expect(code == (number == 2 ? .busy : nil), "call \(number)")
        }
    }

    @Test func aDelayTakesItsTime() throws {
        let guest = try guest(
            SimulationOptions(latency: .zero, faults: [Fault(at: .commit, occurrence: 2, .delay(.milliseconds(5)))])
        )
        for (page, time) in [(0, 0), (1, 5), (2, 5)] as [(UInt64, Int)] {
            _ = try guest.commit(page..<(page + 1), .shared, .private)
            #expect(guest.backend.clock.now == Timestamp.zero.advanced(by: .milliseconds(time)))
        }
    }

    /// A latency that nobody lives to see is one all the same.
    @Test func aLatencyWithoutEndIsTakenAsItIs() throws {
        let guest = try guest(SimulationOptions(latency: .seconds(Int64.max)))
        for page in 0..<3 as Range<UInt64> { _ = try guest.commit(page..<(page + 1), .shared, .private) }
        #expect(guest.backend.clock.now == .never)
    }

    @Test func aLossIsToldOnceAndForGood() throws {
        let guest = try guest(SimulationOptions(faults: [Fault(at: .commit, .lose)]))
        #expect(guest.code { _ = try guest.commit(0..<1, .shared, .private) } == .lost)
        #expect(guest.reports.words.isEmpty, "on the executor")
        guest.backend.clock.drain()
        #expect(guest.reports.words == ["lost: injected at commit"])
        #expect(guest.code { _ = try guest.commit(1..<2, .shared, .private) } == .lost)
        #expect(guest.code { _ = try guest.read(1) } == .lost)
    }

    /// So many folios as there is memory for, and no more.
    @Test func memoryIsUsedUp() throws {
        let guest = try guest(SimulationOptions(memory: ByteCount(2 * 4096)))
        for page in 0..<2 as Range<UInt64> { try guest.write([1, 2, 3], page) }
        #expect(guest.code { try guest.write([1, 2, 3], 2) } == .resourcesExhausted)
        try guest.backend.discardContents(of: PageRange(pages: 0..<1))
        try guest.write([7], 2)
        #expect(try guest.read(2) == [7, 0, 0], "memory that was another page's is empty")
        #expect(try guest.read(1) == [1, 2, 3])
    }
}

extension SimulationBackend {
    /// Has the guest answer from now on.
    fileprivate func answer(_ answer: RemovalAnswer) {
        struct NoHandler: GuestRequestHandler {
            func handle(_ request: GuestRequest) -> GuestReply { .refused }
        }
        do {
            _ = try perform(.answerRemovals(answer), on: 0, answeringTo: NoHandler())
        } catch { Issue.record(error) }
    }
}
