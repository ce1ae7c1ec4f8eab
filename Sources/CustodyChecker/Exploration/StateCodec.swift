import CustodyProtocols

/// Packs the states of one configuration and finds the representative of states that differ only by equal actors.
struct StateCodec: Sendable {
    let world: SmallWorld
    let actorCount: Int
    let placeCount: Int
    let spaces: Int
    /// For every actor, the first actor with the same operation.
    let firstEqual: [Int]
    let isSymmetric: Bool

    init(_ configuration: Configuration, operations: [Operation], symmetric: Bool) {
        world = configuration.initialWorld
        actorCount = operations.count
        placeCount = configuration.folios.count
        spaces = max(1, min(4, configuration.addressSpaces))
        firstEqual = operations.map { operation in operations.firstIndex(of: operation) ?? 0 }
        isSymmetric = symmetric && Set(firstEqual).count < operations.count
    }

    /// How many bits a state takes.
    var bits: Int {
        let pages = Int(world.pageCount) * (5 + spaces)
        let folios = world.folioCount * 23
        let locks = 2 * (4 + actorCount) + 7
        return pages + placeCount * 3 + folios + locks + actorCount * 53
    }

    /// Packs a state. Register values that nobody will read again are left out.
    func pack(_ state: SystemState) -> PackedState {
        var state = state
        if isSymmetric { sortEqualActors(&state) }
        var writer = BitWriter()
        for index in 0..<Int(world.pageCount) {
            let page = state.world.pages[index]
            writer.put(UInt64(page.mappability.rawValue), 2)
            writer.put(UInt64(page.writer.rawValue), 2)
            writer.put(page.isGuestMapped ? 1 : 0, 1)
            writer.put(UInt64(page.hostMappings), spaces)
        }
        for index in 0..<placeCount { writer.put(UInt64(state.world.cache[index]), 3) }
        for index in 0..<world.folioCount {
            let folio = state.world.folios[index]
            writer.put(UInt64(bitPattern: Int64(folio.references &+ 8)), 6)
            writer.put(UInt64(folio.mappings), 4)
            writer.put(UInt64(folio.lockOwner), 4)
            writer.put(UInt64(folio.flags.rawValue), 6)
            writer.put(folio.index.rawValue, 3)
        }
        writer.put(UInt64(state.world.invalidateLock.writer), 4)
        writer.put(state.world.invalidateLock.readers, actorCount)
        writer.put(UInt64(state.world.offsetsLock.writer), 4)
        writer.put(state.world.offsetsLock.readers, actorCount)
        writer.put(UInt64(state.world.invalidateSequence), 4)
        writer.put(UInt64(state.world.invalidationsInProgress), 2)
        writer.put(state.world.hasInode ? 1 : 0, 1)
        for index in 0..<actorCount { put(state.actors[index], &writer) }
        return writer.state
    }

    @inline(__always)
    func put(_ actor: Actor, _ writer: inout BitWriter) {
        writer.put(UInt64(actor.step.rawValue), 7)
        writer.put(UInt64(actor.step.isPartOfPut ? actor.afterPut.rawValue : 0), 7)
        writer.put(UInt64(actor.afterLookup.rawValue), 7)
        writer.put(UInt64(actor.result.rawValue), 4)
        writer.put(UInt64(actor.pageOutcome.rawValue), 3)
        writer.put(UInt64(actor.outcome.rawValue), 3)
        writer.put(UInt64(actor.references), 2)
        writer.put(UInt64(actor.remaining), 2)
        writer.put(UInt64(actor.flags.rawValue), 3)
        writer.put(actor.folio.map { UInt64($0.rawValue) &+ 1 } ?? 0, 3)
        writer.put(UInt64(actor.cursor), 3)
        writer.put(actor.stop == .max ? 0 : UInt64(actor.stop) &+ 1, 3)
        writer.put(UInt64(bitPattern: Int64(actor.observed &+ 8)), 6)
    }

    /// Unpacks a state.
    func unpack(_ packed: PackedState) -> SystemState {
        var reader = BitReader(packed)
        var world = world
        for index in 0..<Int(world.pageCount) {
            world.pages[index] = PageState(
                mappability: Mappability(rawValue: UInt8(reader.take(2))) ?? .all,
                writer: Writer(rawValue: UInt8(reader.take(2))) ?? .kernel,
                isGuestMapped: reader.take(1) == 1,
                hostMappings: UInt8(reader.take(spaces))
            )
        }
        for index in 0..<placeCount { world.cache[index] = UInt8(reader.take(3)) }
        for index in 0..<world.folioCount {
            world.folios[index] = FolioState(
                references: Int32(truncatingIfNeeded: reader.take(6)) &- 8,
                mappings: UInt16(reader.take(4)),
                lockOwner: UInt8(reader.take(4)),
                flags: FolioState.Flags(rawValue: UInt8(reader.take(6))),
                index: PageOffset(reader.take(3))
            )
        }
        world.invalidateLock = LockState(writer: UInt8(reader.take(4)), readers: reader.take(actorCount))
        world.offsetsLock = LockState(writer: UInt8(reader.take(4)), readers: reader.take(actorCount))
        world.invalidateSequence = UInt8(reader.take(4))
        world.invalidationsInProgress = UInt8(reader.take(2))
        world.hasInode = reader.take(1) == 1
        var state = SystemState(world: world, actors: InlineArray(repeating: Actor(step: .done, remaining: 0)))
        for index in 0..<actorCount { state.actors[index] = takeActor(&reader) }
        return state
    }

    @inline(__always)
    func takeActor(_ reader: inout BitReader) -> Actor {
        var actor = Actor(step: Step(rawValue: UInt8(reader.take(7))) ?? .done, remaining: 0)
        actor.afterPut = Step(rawValue: UInt8(reader.take(7))) ?? .done
        actor.afterLookup = Step(rawValue: UInt8(reader.take(7))) ?? .done
        actor.result = KernelResult(rawValue: UInt8(reader.take(4))) ?? .success
        actor.pageOutcome = Outcome(rawValue: UInt8(reader.take(3))) ?? .none
        actor.outcome = Outcome(rawValue: UInt8(reader.take(3))) ?? .none
        actor.references = UInt8(reader.take(2))
        actor.remaining = UInt8(reader.take(2))
        actor.flags = Actor.Flags(rawValue: UInt8(reader.take(3)))
        let folio = reader.take(3)
        actor.folio = folio == 0 ? nil : FolioID(UInt32(folio) &- 1)
        actor.cursor = UInt32(reader.take(3))
        let stop = reader.take(3)
        actor.stop = stop == 0 ? .max : UInt32(stop) &- 1
        actor.observed = Int32(truncatingIfNeeded: reader.take(6)) &- 8
        return actor
    }

    /// Puts equal actors into a fixed order, and renames them in the locks they hold.
    func sortEqualActors(_ state: inout SystemState) {
        for index in 1..<actorCount {
            var place = index
            while place > 0, firstEqual[place - 1] == firstEqual[place],
                isBefore(place, place - 1, state)
            {
                exchange(place - 1, place, &state)
                place -= 1
            }
        }
    }

    /// Whether one actor comes before another: by registers, then by the locks it holds.
    func isBefore(_ left: Int, _ right: Int, _ state: SystemState) -> Bool {
        let (one, two) = (key(left, state), key(right, state))
        return one.registers != two.registers ? one.registers < two.registers : one.locks < two.locks
    }

    func key(_ index: Int, _ state: SystemState) -> (registers: UInt64, locks: UInt64) {
        var writer = BitWriter()
        put(state.actors[index], &writer)
        let owner = UInt8(index &+ 1)
        var locks: UInt64 = state.world.invalidateLock.writer == owner ? 1 : 0
        locks |= state.world.offsetsLock.writer == owner ? 2 : 0
        locks |= (state.world.invalidateLock.readers &>> UInt64(index) & 1) &<< 2
        locks |= (state.world.offsetsLock.readers &>> UInt64(index) & 1) &<< 3
        for folio in 0..<world.folioCount where state.world.folios[folio].lockOwner == owner {
            locks |= 1 &<< UInt64(4 &+ folio)
        }
        return (writer.state.words[0], locks)
    }

    /// Exchanges two actors.
    func exchange(_ left: Int, _ right: Int, _ state: inout SystemState) {
        let actor = state.actors[left]
        state.actors[left] = state.actors[right]
        state.actors[right] = actor
        let (one, two) = (UInt8(left &+ 1), UInt8(right &+ 1))
        func renamed(_ owner: UInt8) -> UInt8 { owner == one ? two : owner == two ? one : owner }
        func renamed(_ lock: LockState) -> LockState {
            let low = lock.readers &>> UInt64(left) & 1
            let high = lock.readers &>> UInt64(right) & 1
            var readers = lock.readers & ~(1 &<< UInt64(left) | 1 &<< UInt64(right))
            readers |= low &<< UInt64(right) | high &<< UInt64(left)
            return LockState(writer: renamed(lock.writer), readers: readers)
        }
        state.world.invalidateLock = renamed(state.world.invalidateLock)
        state.world.offsetsLock = renamed(state.world.offsetsLock)
        for folio in 0..<world.folioCount {
            state.world.folios[folio].lockOwner = renamed(state.world.folios[folio].lockOwner)
        }
    }
}

extension Step {
    /// Whether the actor is dropping a reference, so that it still needs to know where to go on.
    @inline(__always)
    var isPartOfPut: Bool {
        switch self {
        case .putDrop, .putDispatch, .callbackTakeLock, .callbackLockFolio, .callbackClearType,
            .callbackRestoreReferences, .callbackUnlockFolio, .callbackStoreGuest, .callbackReleaseLock,
            .completionResurrect, .completionEnqueue:
            true
        default: false
        }
    }

    /// Whether the step commutes with every step of every other actor and no property sees it: it releases a lock,
    /// which nobody else can touch before, or works on registers alone.
    @inline(__always)
    var isIndependent: Bool {
        switch self {
        case .lookupUnlockStale, .callbackUnlockFolio, .callbackReleaseLock, .completerUnlockFolio,
            .completerReleaseLock, .clearUnlockFolio, .clearReleaseLock, .registerUnlockFolio, .registerReleaseLock,
            .registerReturn, .setUnlockFolio, .setReleaseLock, .faultReleaseOffsets, .faultReleaseInvalidate,
            .faultUnlockFolio, .faultRefuseUnlockFolio, .guestUnlockFolio, .guestReleaseInvalidate,
            .punchUnlockFolio, .punchReleaseOffsets, .truncateUnlockFolio, .poisonReleaseLock, .poisonUnlockFolio:
            true
        default: false
        }
    }
}
