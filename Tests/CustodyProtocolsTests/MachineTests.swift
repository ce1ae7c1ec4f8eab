import CustodyProtocols
import Testing

/// A world with one page, as the tests set it up, and actors that run alone, to their end.
struct Bench {
    var world: SmallWorld
    let machine: Machine

    init(_ handover: HandoverProtocol, pages: Int = 1, pagesPerFolio: Int = 1, folios: Int? = nil) {
        world = SmallWorld(pages: pages, pagesPerFolio: pagesPerFolio, folios: folios)
        machine = handover.machine
    }

    /// Runs `operation` until it ends or waits; returns its answer, or nil if it waits.
    @discardableResult
    mutating func run(_ operation: Operation, id: UInt8 = 0, events: inout Events) -> Answer? {
        var actor = machine.start(operation, in: world)
        for _ in 0..<10_000 where !actor.isDone {
            let transition = machine.step(&actor, operation, id: ActorID(id), in: &world)
            events.formUnion(transition.events)
            if transition.isBlocked { return nil }
        }
        return actor.isDone ? actor.answer(to: operation) : nil
    }

    @discardableResult
    mutating func run(_ operation: Operation, id: UInt8 = 0) -> Answer? {
        var events: Events = []
        return run(operation, id: id, events: &events)
    }

    var references: Int32 { world.cachedFolio(at: PageOffset(0)).map { world.folio($0).references } ?? 0 }
}

@Suite struct KernelResultTests {
    @Test func hostFaultOfAPrivatePageIsABusError() {
        for handover in HandoverProtocol.all {
            var bench = Bench(handover)
            bench.run(Operation(.convertToPrivate))
            #expect(bench.run(Operation(.hostAccess))?.kernel == .busError, "\(handover.name)")
            #expect(bench.world.invalidateLock == LockState() && bench.world.offsetsLock == LockState())
        }
    }

    @Test func guestFaultInTransitIsToldToTryAgain() {
        var bench = Bench(.version5)
        bench.world.populate(PageOffset(0))
        bench.world.addReference(PageOffset(0))
        bench.run(Operation(.requestPrivate))
        #expect(bench.run(Operation(.guestAccess))?.kernel == .tryAgain)
    }

    @Test func guestMayTouchSharedAndPrivateMemory() {
        for handover in HandoverProtocol.all {
            var bench = Bench(handover)
            #expect(bench.run(Operation(.guestAccess))?.kernel == .success)
            bench.run(Operation(.convertToPrivate))
            #expect(bench.run(Operation(.guestAccess))?.kernel == .success, "\(handover.name)")
            #expect(bench.world.page(PageOffset(0)).writer == .guest)
        }
    }

    @Test func poisonIsReportedToHostAndGuest() {
        for handover in HandoverProtocol.all {
            var bench = Bench(handover)
            bench.run(Operation(.hostAccess))
            bench.run(Operation(.poison))
            #expect(bench.world.page(PageOffset(0)).hostMappings == 0)
            #expect(bench.run(Operation(.hostAccess))?.kernel == .poisoned, "\(handover.name)")
            #expect(bench.run(Operation(.guestAccess))?.kernel == .poisoned, "\(handover.name)")
        }
    }

    @Test func registrationWithoutAFolioIsNoEntry() {
        var bench = Bench(.version5)
        var events: Events = []
        let answer = bench.run(Operation(.register, behavior: .leaves), events: &events)
        #expect(answer == Answer(kernel: .noEntry, outcome: .failed, firstStop: PageOffset(0)))
        #expect(events.contains(.warned))
    }

    @Test func versionFiveSaysTryAgainTwiceAndWeSayTwoThings() {
        var bench = Bench(.version5)
        bench.world.populate(PageOffset(0))
        bench.world.mapIntoHost(PageOffset(0), addressSpace: 0)
        bench.run(Operation(.requestPrivate))
        let mapped = bench.run(Operation(.register, behavior: .leaves))
        bench.run(Operation(.hostUnmap))
        bench.world.addReference(PageOffset(0))
        let held = bench.run(Operation(.register, behavior: .leaves))
        #expect(mapped?.kernel == .tryAgain && held?.kernel == .tryAgain)
        #expect(mapped?.outcome == .blockedByMapping && held?.outcome == .pending)
    }

    @Test func inPlaceConversionNamesTheFirstBlocker() {
        var bench = Bench(.version8, pages: 4, folios: 4)
        for page in 0..<4 { bench.world.populate(PageOffset(UInt64(page))) }
        bench.world.addReference(PageOffset(2))
        let request = Operation(.convertToPrivate, count: 4, behavior: .leaves)
        let answer = bench.run(request)
        #expect(answer == Answer(kernel: .tryAgain, outcome: .blockedByReferences, firstStop: PageOffset(2)))
        #expect((0..<4).allSatisfy { bench.world.page(PageOffset($0)).mappability == .all })
        bench.run(Operation(.hold, start: PageOffset(2), accesses: 0))
        #expect(bench.run(request)?.kernel == .success)
        bench.world.addReference(PageOffset(1))
        #expect(bench.run(request)?.kernel == .success, "a range that is there already is left alone")
        bench.run(Operation(.punchHole, count: 4))
        #expect((0..<4).allSatisfy { bench.world.page(PageOffset($0)).mappability == .guest })
    }

    @Test func rangesThatDoNotLieInTheFileAreInvalid() {
        for handover in HandoverProtocol.all {
            var bench = Bench(handover, pages: 4)
            for operation in [
                Operation(.convertToPrivate, count: 0), Operation(.convertToShared, start: PageOffset(4)),
                Operation(.punchHole, start: PageOffset(3), count: 2),
                Operation(.hostAccess, start: PageOffset(.max), count: .max),
            ] {
                #expect(bench.run(operation)?.kernel == .invalid)
            }
        }
        var bench = Bench(.custody, pages: 4, pagesPerFolio: 4)
        #expect(bench.run(Operation(.convertToPrivate, count: 2))?.kernel == .invalid, "a part of a folio")
    }

    @Test func memoryExhaustedIsReported() {
        var bench = Bench(.version5, pages: 2, folios: 1)
        bench.run(Operation(.hostAccess))
        #expect(bench.run(Operation(.hostAccess, start: PageOffset(1)))?.kernel == .noMemory)
        #expect(bench.run(Operation(.guestAccess, start: PageOffset(1)))?.kernel == .noMemory)
        #expect(bench.world.invalidateLock == LockState())
    }

    @Test func pinsNeedAMapping() {
        var bench = Bench(.version5)
        #expect(bench.run(Operation(.pin))?.kernel == .fault)
        #expect(bench.run(Operation(.speculate))?.kernel == .noEntry)
        bench.run(Operation(.hostAccess))
        #expect(bench.run(Operation(.pin))?.kernel == .success)
    }

    @Test func onlySharedMappingsOfTheFileExist() {
        #expect(throws: KernelError(result: .invalid)) { try KernelError.checkMapping(isShared: false) }
        #expect(throws: Never.self) { try KernelError.checkMapping(isShared: true) }
    }
}

@Suite struct InodeTests {
    /// Every step that takes or releases a lock of the file, of every protocol, by an actor that is alone: on an inode
    /// that is gone it is a use after free.
    @Test(arguments: HandoverProtocol.all)
    func aLockOfAnInodeThatIsGoneIsNoticed(_ handover: HandoverProtocol) {
        var released: Set<Step> = []
        for kind in Operation.Kind.allCases {
            var bench = Bench(handover, folios: 2)
            bench.world.populate(PageOffset(0))
            bench.world.mapIntoHost(PageOffset(0), addressSpace: 0)
            if kind == .hostAccess { bench.run(Operation(.hostUnmap)) }
            let operation = Operation(kind, behavior: .leaves)
            var actor = bench.machine.start(operation, in: bench.world)
            for _ in 0..<1_000 where !actor.isDone {
                let (before, step) = ([bench.world.invalidateLock, bench.world.offsetsLock], actor.step)
                var (other, gone) = (actor, bench.world)
                gone.hasInode = false
                let events = bench.machine.step(&other, operation, id: ActorID(0), in: &gone).events
                if bench.machine.step(&actor, operation, id: ActorID(0), in: &bench.world).isBlocked { break }
                guard before != [bench.world.invalidateLock, bench.world.offsetsLock] else { continue }
                #expect(events.contains(.usedAfterFree), "\(handover.name) \(kind) \(step)")
                if before.contains(where: { $0.isHeld(by: ActorID(0)) }) { released.insert(step) }
            }
        }
        #expect(released.count >= 2, "\(released)")
    }
}

@Suite struct MemorySlotTests {
    @Test func framesBecomeOffsets() throws {
        let slot = try MemorySlot(baseFrame: 0x100, pageCount: 16, fileOffset: PageOffset(32), filePages: 48)
        let all = try #require(slot.pages(first: 0, count: .max))
        #expect(all.start == PageOffset(32) && all.count == 16)
        let part = try #require(slot.pages(first: 0x10e, count: 9))
        #expect(part.start == PageOffset(46) && part.count == 2)
        #expect(slot.pages(first: 0x110, count: 1) == nil)
    }

    @Test func slotsThatWrapOrLeaveTheFileAreInvalid() {
        for (base, count, offset) in [(UInt64.max, UInt64(2), UInt64(0)), (0, 0, 0), (0, 4, 47), (0, .max, 1)] {
            #expect(throws: KernelError(result: .invalid)) {
                try MemorySlot(baseFrame: base, pageCount: count, fileOffset: PageOffset(offset), filePages: 48)
            }
        }
    }
}
