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
    func use<World: FolioWorld>(_ id: FolioID, _ world: World, _ events: inout Events) -> World.Folio {
        let state = world.folio(id)
        if !state.has(.allocated) { events.insert(.usedAfterFree) }
        return state
    }

    /// Sets or clears the type of the actor's folio.
    @inlinable
    func setType<World: FolioWorld>(_ isGuestmem: Bool, _ actor: Actor, _ world: inout World) -> Events {
        guard let id = actor.folio else { return .warned }
        var events: Events = []
        var state = use(id, world, &events)
        if !isGuestmem, state.mappings != 0 || !state.has(.guestmem) { events.insert(.warned) }
        if isGuestmem { state.insert(.guestmem) } else { state.remove(.guestmem) }
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
        useInode(world, &events)
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
        world.isHeldExclusively(rules.stateLock, by: id) || (isInPlace && world.isHeldExclusively(.invalidate, by: id))
    }

    /// Whether the actor must not sleep now.
    @inlinable
    func isAtomic<World: FolioWorld>(_ operation: Operation, _ id: ActorID, _ world: World)
        -> Bool
    {
        operation.context == .atomic || world.isHeld(.offsets, by: id)
    }

    /// Notes the use of a lock or of the state of an inode that is gone.
    @inlinable
    func useInode<World: FolioWorld>(_ world: World, _ events: inout Events) {
        if !world.hasInode { events.insert(.usedAfterFree) }
    }

    /// What somebody waits for who needs `lock`.
    @inlinable
    func wait(for lock: Lock) -> Wait { lock == .invalidate ? .invalidateLock : .offsetsLock }

    /// Takes the lock of the state shared, looks at the state, and releases the lock. Nothing can be seen in between, so
    /// it is one action. Returns nil where the lock is held exclusively.
    @inlinable
    func loadShared<World: FolioWorld>(
        at page: PageOffset,
        _ world: World,
        _ transition: inout Transition
    ) -> Mappability? {
        useInode(world, &transition.events)
        guard !world.isHeldExclusively(rules.stateLock) else {
            transition.wait = wait(for: rules.stateLock)
            return nil
        }
        return world.page(page).mappability
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
        useInode(world, &transition.events)
        if world.isHeld(lock, by: id) {
            transition.wait = .ownLock
        } else if world.isHeldExclusively(lock) || (exclusively && world.isHeldShared(lock)) {
            transition.wait = wait(for: lock)
        } else {
            world.acquire(lock, exclusively: exclusively, for: id)
            actor.step = next
        }
        return transition
    }

    /// Releases a lock of the file.
    @inlinable
    func release<World: FolioWorld>(_ lock: Lock, _ id: ActorID, _ world: inout World) -> Events {
        var events: Events = []
        useInode(world, &events)
        guard world.isHeld(lock, by: id) else { return events.union(.unlocked) }
        world.release(lock, of: id)
        return events
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
        if state.isLocked(by: id) {
            transition.wait = .ownLock
        } else if state.isLocked {
            transition.wait = .folioLock
        } else {
            state.lock(for: id)
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
        guard state.isLocked(by: id) else { return events.union(.unlocked) }
        state.unlock()
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
        if !owner.has(.upToDate) { events.insert(.staleContents) }
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
        guard !state.has(.upToDate) else { return events }
        state.insert(.upToDate)
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
