/// What the parts of the machine share: pages and folios of an actor, locks, the state of a page, the way on.
extension Machine {
    /// The page at the actor's cursor.
    @inlinable
    func page(_ actor: Actor, _ operation: Operation) -> PageOffset {
        PageOffset(operation.start.rawValue &+ UInt64(actor.cursor))
    }

    /// Moves the cursor on by `pages`; returns `more` if the range has not ended, else `end`.
    @inlinable
    func advance(
        _ actor: inout Actor,
        _ operation: Operation,
        by pages: UInt64 = 1,
        more: Step,
        end: Step
    ) -> Step {
        let next = UInt64(actor.cursor) &+ pages
        guard next < operation.count else { return end }
        actor.cursor = UInt32(truncatingIfNeeded: next)
        return more
    }

    /// Ends the operation.
    @inlinable
    func finish(_ actor: inout Actor) -> Events {
        actor.step = .done
        actor.folio = nil
        actor.cursor = 0
        actor.observed = 0
        actor.remaining = 0
        actor.flags = []
        actor.afterPut = .done
        actor.afterLookup = .done
        actor.pageOutcome = .none
        return .ended
    }

    /// Goes on to `step`, or ends the operation there.
    @inlinable
    func go(_ actor: inout Actor, to step: Step) -> Events {
        guard step == .done else {
            actor.step = step
            return []
        }
        return finish(&actor)
    }

    /// Drops the reference that the actor holds on its folio, then goes on to `step`.
    @inlinable
    func drop(_ actor: inout Actor, then step: Step) {
        actor.step = .putDrop
        actor.afterPut = step
    }

    /// Looks up and locks the folio of the page at the cursor, then goes on to `step`.
    @inlinable
    func lookUp(_ actor: inout Actor, then step: Step) {
        actor.step = .lookupGet
        actor.afterLookup = step
    }

    /// Notes the answer for the page at the cursor, and for the range if it is the first that is not `completed`.
    @inlinable
    func settle(_ actor: inout Actor, _ outcome: Outcome) {
        actor.pageOutcome = outcome
        if outcome == .completed {
            if actor.outcome == .none { actor.outcome = .completed }
        } else if actor.outcome == .none || actor.outcome == .completed {
            actor.outcome = outcome
            actor.stop = actor.cursor
        }
    }

    /// Forgets the answer for the page at the cursor, because it is asked for again.
    @inlinable
    func unsettle(_ actor: inout Actor) {
        if actor.stop == actor.cursor {
            actor.stop = .max
            actor.outcome = actor.cursor == 0 ? .none : .completed
        }
        actor.pageOutcome = .none
        actor.result = .success
    }

    // MARK: Folios

    /// The folio of the actor, with the event that it was freed before.
    @inlinable
    func use<World: FolioWorld>(_ id: FolioID, _ world: World, _ events: inout Events) -> FolioState {
        let state = world.folio(id)
        if !state.flags.contains(.allocated) { events.insert(.usedAfterFree) }
        return state
    }

    /// Sets or clears the type of the actor's folio.
    @inlinable
    func setType<World: FolioWorld>(_ isGuestmem: Bool, _ actor: Actor, _ world: inout World) -> Events {
        guard let id = actor.folio else { return .warned }
        var events: Events = []
        var state = use(id, world, &events)
        if !isGuestmem, state.mappings != 0 || !state.flags.contains(.guestmem) { events.insert(.warned) }
        if isGuestmem { state.flags.insert(.guestmem) } else { state.flags.remove(.guestmem) }
        world.setFolio(id, to: state)
        return events
    }

    /// Gives the file the references back that registration took.
    @inlinable
    func restoreReferences<World: FolioWorld>(_ actor: Actor, _ world: inout World) -> Events {
        guard let id = actor.folio else { return .warned }
        var events: Events = []
        var state = use(id, world, &events)
        state.references &+= Int32(truncatingIfNeeded: world.pagesPerFolio)
        world.setFolio(id, to: state)
        return events
    }

    /// Stores who may map `page`, or, for `gmem-custody`, all pages of its folio.
    @inlinable
    func store<World: FolioWorld>(
        _ mappability: Mappability,
        at page: PageOffset,
        by id: ActorID,
        _ world: inout World
    ) -> Events {
        var events = isLocked(id, world) ? Events() : .unlocked
        if !world.hasInode { events.insert(.usedAfterFree) }
        var first = page
        var count: UInt64 = 1
        if registersWithRequest {
            first = world.folioStart(of: page)
            count = world.pagesPerFolio
        }
        for index in first.rawValue..<(first.rawValue &+ count) {
            var state = world.page(PageOffset(index))
            switch (state.mappability, mappability) {
            case (.none, .guest): events.insert(.completed)
            case (.none, .all): events.insert(.cancelled)
            case (.guest, .none): events.insert(.leftTarget)
            default: break
            }
            state.mappability = mappability
            world.setPage(PageOffset(index), to: state)
        }
        return events
    }

    // MARK: Locks

    /// Whether the actor holds the lock of the state exclusively, as the code that stores it documents.
    @inlinable
    func isLocked<World: FolioWorld>(_ id: ActorID, _ world: World) -> Bool {
        world.lock(rules.stateLock).isHeldExclusively(by: id)
            || (isInPlace && world.lock(.invalidate).isHeldExclusively(by: id))
    }

    /// Whether the actor must not sleep now.
    @inlinable
    func isAtomic<World: FolioWorld>(_ operation: Operation, _ id: ActorID, _ world: World)
        -> Bool
    {
        operation.context == .atomic || world.lock(.offsets).isHeld(by: id)
    }

    /// Takes a lock of the file and goes on to `next`, or waits.
    @inlinable
    func take<World: FolioWorld>(
        _ lock: Lock,
        exclusively: Bool,
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World,
        then next: Step
    ) -> Transition {
        var transition = Transition(step: actor.step)
        if lock == .invalidate, isAtomic(operation, id, world) { transition.events.insert(.sleptInAtomic) }
        if !world.hasInode { transition.events.insert(.usedAfterFree) }
        var state = world.lock(lock)
        if state.isHeld(by: id) {
            transition.wait = .ownLock
        } else if state.writer != 0 || (exclusively && state.readers != 0) {
            transition.wait = lock == .invalidate ? .invalidateLock : .offsetsLock
        } else {
            if exclusively { state.writer = id.owner } else { state.readers |= id.bit }
            world.setLock(lock, to: state)
            actor.step = next
        }
        return transition
    }

    /// Releases a lock of the file.
    @inlinable
    func release<World: FolioWorld>(_ lock: Lock, _ id: ActorID, _ world: inout World) -> Events {
        var state = world.lock(lock)
        guard state.isHeld(by: id) else { return .unlocked }
        if state.writer == id.owner { state.writer = 0 } else { state.readers &= ~id.bit }
        world.setLock(lock, to: state)
        return []
    }

    /// Takes the lock of the actor's folio, or waits.
    @inlinable
    func lockFolio<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World,
        then next: Step
    ) -> Transition {
        var transition = Transition(step: actor.step)
        guard let folio = actor.folio else {
            actor.step = next
            transition.events.insert(.warned)
            return transition
        }
        if isAtomic(operation, id, world) { transition.events.insert(.sleptInAtomic) }
        var state = use(folio, world, &transition.events)
        if state.lockOwner == id.owner {
            transition.wait = .ownLock
        } else if state.lockOwner != 0 {
            transition.wait = .folioLock
        } else {
            state.lockOwner = id.owner
            world.setFolio(folio, to: state)
            actor.step = next
        }
        return transition
    }

    /// Releases the lock of the actor's folio.
    @inlinable
    func unlockFolio<World: FolioWorld>(_ actor: Actor, _ id: ActorID, _ world: inout World) -> Events {
        guard let folio = actor.folio else { return .unlocked }
        var events: Events = []
        var state = use(folio, world, &events)
        guard state.lockOwner == id.owner else { return events.union(.unlocked) }
        state.lockOwner = 0
        world.setFolio(folio, to: state)
        return events
    }

    // MARK: Page tables and contents

    /// Touches the memory of the actor's folio as the host, through a mapping or a reference.
    @inlinable
    func touchAsHost<World: FolioWorld>(
        _ folio: FolioID,
        _ page: PageOffset,
        _ operation: Operation,
        _ world: inout World
    ) -> Events {
        var events: Events = operation.writes ? .hostWrite : .hostRead
        let owner = use(folio, world, &events)
        if !owner.flags.contains(.upToDate) { events.insert(.staleContents) }
        guard world.cachedFolio(at: page) == folio else { return events }
        var state = world.page(page)
        if state.mappability == .guest { events.insert(.hostTouchedPrivate) }
        if operation.writes, state.writer != .host {
            state.writer = .host
            world.setPage(page, to: state)
        }
        return events
    }

    /// Removes one host mapping of `page`; the reference of the mapping becomes the actor's. Returns whether there
    /// was one.
    @inlinable
    func unmap<World: FolioWorld>(
        _ page: PageOffset,
        addressSpaces: UInt8,
        _ actor: inout Actor,
        _ world: inout World,
        _ events: inout Events
    ) -> Bool {
        var state = world.page(page)
        let mapped = state.hostMappings & addressSpaces
        guard mapped != 0, let folio = world.cachedFolio(at: page) else { return false }
        state.hostMappings &= ~(mapped & (~mapped &+ 1))
        world.setPage(page, to: state)
        var owner = use(folio, world, &events)
        if owner.mappings == 0 { events.insert(.underflow) } else { owner.mappings &-= 1 }
        world.setFolio(folio, to: owner)
        actor.folio = folio
        actor.references &+= 1
        return true
    }

    /// Begins an invalidation: removes a range from the guest's page table; faults try again until it has ended.
    @inlinable
    func beginInvalidation<World: FolioWorld>(
        of first: PageOffset,
        count: UInt64,
        _ actor: inout Actor,
        _ world: inout World
    ) {
        world.invalidationsInProgress &+= 1
        actor.flags.insert(.invalidates)
        for index in first.rawValue..<(first.rawValue &+ count) {
            var state = world.page(PageOffset(index))
            guard state.isGuestMapped else { continue }
            state.isGuestMapped = false
            world.setPage(PageOffset(index), to: state)
        }
    }

    /// Ends the invalidation that the actor began, if it began one.
    @inlinable
    func endInvalidation<World: FolioWorld>(_ actor: inout Actor, _ world: inout World) {
        guard actor.flags.contains(.invalidates) else { return }
        actor.flags.remove(.invalidates)
        world.invalidationsInProgress &-= 1
        world.invalidateSequence &+= 1
    }

    /// Zeroes the actor's folio if nobody did.
    @inlinable
    func zero<World: FolioWorld>(_ actor: Actor, _ world: inout World) -> Events {
        guard let folio = actor.folio else { return .warned }
        var events: Events = []
        var state = use(folio, world, &events)
        guard !state.flags.contains(.upToDate) else { return events }
        state.flags.insert(.upToDate)
        world.setFolio(folio, to: state)
        for index in state.index.rawValue..<(state.index.rawValue &+ world.pagesPerFolio) {
            var page = world.page(PageOffset(index))
            guard page.writer != .kernel else { continue }
            page.writer = .kernel
            world.setPage(PageOffset(index), to: page)
        }
        return events
    }
}
