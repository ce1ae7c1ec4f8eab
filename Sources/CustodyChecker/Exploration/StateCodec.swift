import CustodyProtocols

/// Packs the states of one configuration and finds the representative of states that differ only by equal actors.
///
/// What nobody will read again is left out: who wrote a page last (a simulation tells, no step and no property reads
/// it), the count of invalidations where no guest faults, what an ended operation answered where no property asks.
struct StateCodec: Sendable {
    let world: SmallWorld
    let actorCount: Int
    let placeCount: Int
    let spaces: Int
    /// For every actor, the first actor with the same operation.
    let firstEqual: [Int]
    let isSymmetric: Bool
    /// For every actor, whether another one has the same operation.
    private let hasEqual: [Bool]
    /// The actors that were met.
    private(set) var actors = ActorTable()
    /// Whether some actor compares the count of invalidations.
    private let countsInvalidations: Bool
    /// For every actor, whether its result, and what that means, are read after it has ended.
    private let keepsResult: [Bool]
    private let keepsOutcome: [Bool]

    init(_ configuration: Configuration, operations: [Operation], symmetric: Bool) {
        world = configuration.initialWorld
        actorCount = operations.count
        placeCount = configuration.folios.count
        spaces = max(1, min(4, configuration.addressSpaces))
        hasEqual = operations.map { operation in operations.filter { $0 == operation }.count > 1 }
        firstEqual = operations.map { operation in operations.firstIndex(of: operation) ?? 0 }
        isSymmetric = symmetric && Set(firstEqual).count < operations.count
        countsInvalidations = operations.contains { $0.kind == .guestAccess }
        keepsResult = operations.map { $0.kind == .poison || $0.kind == .tearDown }
        keepsOutcome = operations.map(\.kind.isConversion)
    }

    /// How many bits the world takes.
    var worldBits: Int {
        Int(world.pageCount) * (3 + spaces) + placeCount * 3 + world.folioCount * 23 + 2 * (4 + actorCount) + 7
    }

    /// How many bits a state takes.
    var bits: Int { actorCount * ActorTable.bits + worldBits }

    /// How many words a state takes.
    var stride: Int { (bits + 63) / 64 }

    /// Packs a state, and puts equal actors into their order.
    @inline(__always)
    mutating func pack(_ state: inout SystemState) -> PackedState {
        if isSymmetric, !isSorted(state) { sortEqualActors(&state) }
        return packInOrder(state)
    }

    /// Packs a state.
    mutating func pack(_ state: SystemState) -> PackedState {
        var sorted = state
        return pack(&sorted)
    }

    @inline(__always)
    private mutating func packInOrder(_ state: borrowing SystemState) -> PackedState {
        var writer = BitWriter(state: PackedState(), position: 0)
        // Through spans: a subscript of a stored inline array copies the whole of it.
        let all = state.actors.span
        for index in 0..<actorCount { writer.put(actors.number(word(all[index], index)), ActorTable.bits) }
        put(state.world, &writer)
        return writer.state
    }

    /// Packs the state that follows `packed` when one actor has made a step; nil where the order of equal actors may have
    /// changed.
    @inline(__always)
    mutating func pack(
        _ packed: PackedState,
        _ index: Int,
        _ actor: Actor,
        _ world: borrowing SmallWorld
    ) -> PackedState? {
        if isSymmetric, hasEqual[index] { return nil }
        var writer = BitWriter(state: PackedState(), position: 0)
        var numbers = BitReader(state: packed, position: 0)
        for other in 0..<actorCount {
            let number = numbers.take(ActorTable.bits)
            writer.put(other == index ? actors.number(word(actor, index)) : number, ActorTable.bits)
        }
        put(world, &writer)
        return writer.state
    }

    /// The number of an actor's registers in a packed state.
    @inline(__always)
    func number(of index: Int, in packed: PackedState) -> UInt32 {
        var reader = BitReader(state: packed, position: index &* ActorTable.bits)
        return UInt32(truncatingIfNeeded: reader.take(ActorTable.bits))
    }

    /// The number of an actor's registers.
    @inline(__always)
    mutating func number(of actor: Actor, at index: Int) -> UInt64 { actors.number(word(actor, index)) }

    /// Packs a world alone.
    func pack(_ world: SmallWorld) -> PackedState {
        var writer = BitWriter(state: PackedState(), position: 0)
        put(world, &writer)
        return writer.state
    }

    @inline(__always)
    private func put(_ world: borrowing SmallWorld, _ writer: inout BitWriter) {
        let pages = world.pages.span
        let cache = world.cache.span
        let folios = world.folios.span
        for index in 0..<Int(truncatingIfNeeded: world.pageCount) {
            let page = pages[index]
            writer.put(UInt64(page.mappability.rawValue), 2)
            writer.put(page.isGuestMapped ? 1 : 0, 1)
            writer.put(UInt64(page.hostMappings), spaces)
        }
        for index in 0..<placeCount { writer.put(UInt64(cache[index]), 3) }
        for index in 0..<world.folioCount {
            let folio = folios[index]
            var field = UInt64(truncatingIfNeeded: folio.references &+ 8) & 63
            field |= (UInt64(folio.mappings) & 15) &<< 6
            field |= (UInt64(folio.lockOwner) & 15) &<< 10
            field |= (UInt64(folio.flags.rawValue) & 63) &<< 14
            field |= (folio.index.rawValue & 7) &<< 20
            writer.put(field, 23)
        }
        writer.put(UInt64(world.invalidateLock.writer), 4)
        writer.put(world.invalidateLock.readers, actorCount)
        writer.put(UInt64(world.offsetsLock.writer), 4)
        writer.put(world.offsetsLock.readers, actorCount)
        writer.put(countsInvalidations ? UInt64(world.invalidateSequence) : 0, 4)
        writer.put(UInt64(world.invalidationsInProgress), 2)
        writer.put(world.hasInode ? 1 : 0, 1)
    }

    /// The word of an actor.
    @inline(__always)
    private func word(_ actor: Actor, _ index: Int) -> UInt64 {
        if actor.step == .done {
            var word = UInt64(Step.done.rawValue)
            if keepsResult[index] { word |= (UInt64(actor.result.rawValue) & 15) &<< 21 }
            if keepsOutcome[index] { word |= (UInt64(actor.outcome.rawValue) & 7) &<< 28 }
            return word
        }
        var word = UInt64(actor.step.rawValue) & 127
        word |= (actor.step.isPartOfPut ? UInt64(actor.afterPut.rawValue) & 127 : 0) &<< 7
        word |= (UInt64(actor.afterLookup.rawValue) & 127) &<< 14
        word |= (UInt64(actor.result.rawValue) & 15) &<< 21
        word |= (UInt64(actor.pageOutcome.rawValue) & 7) &<< 25
        word |= (UInt64(actor.outcome.rawValue) & 7) &<< 28
        word |= (UInt64(actor.references) & 3) &<< 31
        word |= (UInt64(actor.remaining) & 3) &<< 33
        word |= (UInt64(actor.flags.rawValue) & 7) &<< 35
        word |= (actor.folio.map { UInt64($0.rawValue) &+ 1 } ?? 0) &<< 38
        word |= (UInt64(actor.cursor) & 7) &<< 41
        word |= (actor.stop == .max ? 0 : (UInt64(actor.stop) &+ 1) & 15) &<< 44
        word |= (UInt64(truncatingIfNeeded: actor.observed &+ 8) & 63) &<< 48
        return word
    }

    /// Unpacks a state.
    func unpack(_ packed: PackedState) -> SystemState {
        var reader = BitReader(state: packed, position: actorCount &* ActorTable.bits)
        var world = world
        for index in 0..<Int(truncatingIfNeeded: world.pageCount) {
            world.pages[index] = PageState(
                mappability: Mappability(rawValue: UInt8(truncatingIfNeeded: reader.take(2))) ?? .all,
                isGuestMapped: reader.take(1) == 1,
                hostMappings: UInt8(truncatingIfNeeded: reader.take(spaces))
            )
        }
        for index in 0..<placeCount { world.cache[index] = UInt8(truncatingIfNeeded: reader.take(3)) }
        for index in 0..<world.folioCount {
            let field = reader.take(23)
            world.folios[index] = FolioState(
                references: Int32(truncatingIfNeeded: field & 63) &- 8,
                mappings: UInt16(truncatingIfNeeded: field &>> 6 & 15),
                lockOwner: UInt8(truncatingIfNeeded: field &>> 10 & 15),
                flags: FolioState.Flags(rawValue: UInt8(truncatingIfNeeded: field &>> 14 & 63)),
                index: PageOffset(field &>> 20 & 7)
            )
        }
        world.invalidateLock.writer = UInt8(truncatingIfNeeded: reader.take(4))
        world.invalidateLock.readers = reader.take(actorCount)
        world.offsetsLock.writer = UInt8(truncatingIfNeeded: reader.take(4))
        world.offsetsLock.readers = reader.take(actorCount)
        world.invalidateSequence = UInt8(truncatingIfNeeded: reader.take(4))
        world.invalidationsInProgress = UInt8(truncatingIfNeeded: reader.take(2))
        world.hasInode = reader.take(1) == 1
        var state = SystemState(world: world, actors: InlineArray(repeating: Actor(step: .done, remaining: 0)))
        var numbers = BitReader(state: packed, position: 0)
        for index in 0..<actorCount { state.actors[index] = actor(actors.word(numbers.take(ActorTable.bits))) }
        return state
    }

    @inline(__always)
    private func actor(_ word: UInt64) -> Actor {
        func field(_ shift: UInt64, _ mask: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: word &>> shift & mask) }
        var actor = Actor(step: Step(rawValue: field(0, 127)) ?? .done, remaining: field(33, 3))
        actor.result = KernelResult(rawValue: field(21, 15)) ?? .success
        actor.outcome = Outcome(rawValue: field(28, 7)) ?? .none
        guard actor.step != .done else { return actor }
        actor.afterPut = Step(rawValue: field(7, 127)) ?? .done
        actor.afterLookup = Step(rawValue: field(14, 127)) ?? .done
        actor.pageOutcome = Outcome(rawValue: field(25, 7)) ?? .none
        actor.references = field(31, 3)
        actor.flags = Actor.Flags(rawValue: field(35, 7))
        let folio = field(38, 7)
        actor.folio = folio == 0 ? nil : FolioID(UInt32(folio) &- 1)
        actor.cursor = UInt32(field(41, 7))
        let stop = field(44, 15)
        actor.stop = stop == 0 ? .max : UInt32(stop) &- 1
        actor.observed = Int32(field(48, 63)) &- 8
        return actor
    }

    /// Whether equal actors are in their order.
    @inline(__always)
    private func isSorted(_ state: borrowing SystemState) -> Bool {
        for index in 1..<actorCount where firstEqual[index] == firstEqual[index &- 1] {
            if isBefore(index, index &- 1, state) { return false }
        }
        return true
    }

    /// Puts equal actors into a fixed order, and renames them in the locks they hold.
    private func sortEqualActors(_ state: inout SystemState) {
        for index in 1..<actorCount where firstEqual[index] != index {
            var place = index
            while place > 0, firstEqual[place - 1] == firstEqual[place], isBefore(place, place - 1, state) {
                exchange(place - 1, place, &state)
                place -= 1
            }
        }
    }

    /// Whether one actor comes before another: by registers, then by the locks it holds.
    @inline(__always)
    private func isBefore(_ left: Int, _ right: Int, _ state: borrowing SystemState) -> Bool {
        let all = state.actors.span
        let (one, two) = (word(all[left], left), word(all[right], right))
        return one != two ? one < two : locks(left, state) < locks(right, state)
    }

    /// The locks that an actor holds.
    private func locks(_ index: Int, _ state: borrowing SystemState) -> UInt64 {
        let owner = UInt8(truncatingIfNeeded: index &+ 1)
        var locks: UInt64 = state.world.invalidateLock.writer == owner ? 1 : 0
        locks |= state.world.offsetsLock.writer == owner ? 2 : 0
        locks |= (state.world.invalidateLock.readers &>> UInt64(index) & 1) &<< 2
        locks |= (state.world.offsetsLock.readers &>> UInt64(index) & 1) &<< 3
        for folio in 0..<world.folioCount where state.world.folios[folio].lockOwner == owner {
            locks |= 1 &<< UInt64(4 &+ folio)
        }
        return locks
    }

    /// Exchanges two actors.
    private func exchange(_ left: Int, _ right: Int, _ state: inout SystemState) {
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
}
