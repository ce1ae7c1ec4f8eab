import CustodyProtocols
import Testing

/// A small generator with a seed that can be printed and used again (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Random interleavings: the books of the reference counts balance in every state.
@Suite struct RandomWalkTests {
    static let seed: UInt64 = 0x5EED_2025_0117_1630

    @Test(arguments: [HandoverProtocol.version8, .custody], [1, 2])
    func everyReferenceHasAnOwner(_ handover: HandoverProtocol, pagesPerFolio: Int) {
        var generator = SeededGenerator(state: Self.seed)
        var steps = 0
        for walk in 0..<2_500 {
            let failure = Self.walk(handover, pagesPerFolio, &generator, &steps)
            #expect(failure == nil, "seed \(Self.seed) walk \(walk) \(handover.name): \(failure ?? "")")
            if failure != nil { return }
        }
        print("random walks: \(handover.name), \(pagesPerFolio) pages a folio, seed \(Self.seed), \(steps) steps")
    }

    /// Runs five random actors in a random order; returns what went wrong, if anything did.
    static func walk(
        _ handover: HandoverProtocol,
        _ pagesPerFolio: Int,
        _ generator: inout SeededGenerator,
        _ steps: inout Int
    ) -> String? {
        let machine = handover.machine
        var world = SmallWorld(pages: 2 * pagesPerFolio, pagesPerFolio: pagesPerFolio, folios: 6)
        for page in 0..<world.pageCount where Bool.random(using: &generator) {
            world.populate(PageOffset(page))
            if Bool.random(using: &generator) { world.mapIntoHost(PageOffset(page), addressSpace: 0) }
        }
        let kinds: [Operation.Kind] = [
            .convertToPrivate, .convertToShared, .hostAccess, .hostUnmap, .pin, .speculate, .guestAccess, .punchHole,
            .poison,
        ]
        var operations: [Operation] = []
        var actors: [Actor] = []
        for _ in 0..<5 {
            let kind = kinds.randomElement(using: &generator) ?? .pin
            let isWide = kind.isConversion || kind == .punchHole
            let start =
                isWide
                ? UInt64.random(in: 0..<2, using: &generator) * UInt64(pagesPerFolio)
                : UInt64.random(in: 0..<world.pageCount, using: &generator)
            let operation = Operation(
                kind,
                start: PageOffset(start),
                count: isWide ? UInt64(pagesPerFolio) : 1,
                behavior: .leaves
            )
            operations.append(operation)
            actors.append(machine.start(operation, in: world))
        }
        operations.append(Operation(.completer))
        actors.append(machine.start(Operation(.completer), in: world))
        var idle = 0
        let bound = steps + 2_000
        while idle < 200, steps < bound {
            let index = Int.random(in: 0..<actors.count, using: &generator)
            guard !actors[index].isDone else {
                idle += 1
                continue
            }
            let id = ActorID(UInt8(index))
            let transition = machine.step(&actors[index], operations[index], id: id, in: &world)
            idle = transition.isBlocked ? idle + 1 : 0
            steps += transition.isBlocked ? 0 : 1
            let wrong: Events = [
                .underflow, .usedAfterFree, .nullMapping, .hostTouchedPrivate, .unlocked, .warned, .staleContents,
                .completedOutOfTurn,
            ]
            if !transition.events.isDisjoint(with: wrong) { return "\(transition)" }
            if let failure = imbalance(world, actors) { return "\(failure) after \(transition.step)" }
        }
        return nil
    }

    /// Compares every count with its owners: the file, mappings, actors and the queue.
    static func imbalance(_ world: SmallWorld, _ actors: [Actor]) -> String? {
        for index in 0..<world.folioCount {
            let id = FolioID(UInt32(index))
            let folio = world.folio(id)
            guard folio.flags.contains(.allocated) else { continue }
            if actors.contains(where: { $0.folio == id && isBetweenBooks($0.step) }) { continue }
            var owners = Int32(folio.mappings)
            let isInCache = world.cachedFolio(at: folio.index) == id
            if isInCache, !folio.flags.contains(.guestmem) { owners += Int32(world.pagesPerFolio) }
            for actor in actors where actor.folio == id { owners += Int32(actor.references) }
            if folio.flags.contains(.queued),
                !actors.contains(where: { $0.folio == id && isCompleting($0.step) })
            {
                owners += 1
            }
            if owners != folio.references { return "folio \(index): \(folio.references) references, \(owners) owners" }
        }
        return nil
    }

    /// Whether the actor is between two halves of one change of the count, so that the books are open.
    static func isBetweenBooks(_ step: Step) -> Bool {
        switch step {
        case .registerSubtract, .registerClearType, .registerRestoreReferences, .setRestoreReferences,
            .completerRestoreReferences, .truncateRestoreReferences, .truncateStoreGuest, .truncateDropReferences,
            .putDispatch,
            .completionResurrect, .completionEnqueue:
            true
        default: false
        }
    }

    static func isCompleting(_ step: Step) -> Bool {
        switch step {
        case .completerTakeLock, .completerLockFolio, .completerCheck, .completerStoreGuest, .completerClearType,
            .completerRestoreReferences, .completerUnlockFolio, .completerReleaseLock, .completerDequeue:
            true
        default: false
        }
    }
}
