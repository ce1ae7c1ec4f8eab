/// Punching a hole and tearing the file down: both invalidate the guest's page table, then truncate.
extension Machine {
    @inlinable
    func truncate<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        switch actor.step {
        case .punchTakeLock:
            return take(.invalidate, exclusively: true, &actor, operation, id, &world, then: .punchZapGuest)
        case .punchZapGuest:
            beginInvalidation(of: operation.start, count: operation.count, &actor, &world)
            if rules.truncation == .restoresAndErases {
                actor.step = .punchTakeOffsets
            } else {
                leaveInvalidation(&actor, operation)
            }
        case .punchTakeOffsets:
            return take(.offsets, exclusively: true, &actor, operation, id, &world, then: .punchLoad)
        case .punchLoad:
            actor.folio = nil
            if world.page(offset).mappability == .none {
                lookUp(&actor, then: .punchCheckType)
            } else {
                actor.step = .punchEraseState
            }
        case .punchCheckType:
            if let folio = actor.folio {
                let isRegistered = use(folio, world, &transition.events).has(.guestmem)
                actor.step = isRegistered ? .punchClearType : .punchUnlockFolio
            } else {
                transition.events.insert(.warned)
                actor.step = .punchEraseState
            }
        case .punchClearType:
            transition.events = setType(false, actor, &world)
            actor.step = .punchRestoreReferences
        case .punchRestoreReferences:
            transition.events = restoreReferences(actor, &world)
            actor.step = .punchUnlockFolio
        case .punchUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            drop(&actor, then: .punchEraseState)
        case .punchEraseState:
            transition.events = store(.all, at: offset, by: id, &world)
            actor.folio = nil
            actor.step = advance(&actor, operation, more: .punchLoad, end: .punchReleaseOffsets)
        case .punchReleaseOffsets:
            transition.events = release(.offsets, id, &world)
            leaveInvalidation(&actor, operation)
        case .truncateUnmap:
            transition.events = unmapForTruncation(&actor, operation, &world)
        case .truncateClearType:
            guard let folio = actor.folio else { break }
            if use(folio, world, &transition.events).has(.guestmem) {
                transition.events.formUnion(setType(false, actor, &world))
                actor.flags.insert(.registered)
                actor.step = .truncateRestoreReferences
            } else {
                actor.step = .truncateRemove
            }
        case .truncateRestoreReferences:
            transition.events = restoreReferences(actor, &world)
            actor.step = .truncateRemove
        case .truncateStoreGuest:
            // Not before the folio has left the file: until then a pin still reaches the page.
            transition.events = store(.guest, at: offset, by: id, &world)
            actor.flags.remove(.registered)
            actor.step = .truncateDropReferences
        case .truncateRemove:
            guard let folio = actor.folio else { break }
            var state = use(folio, world, &transition.events)
            state.remove(.cached)
            world.setFolio(folio, to: state)
            let first = world.folioStart(of: offset)
            world.setCachedFolio(nil, at: first)
            for index in first.rawValue..<(first.rawValue &+ world.pagesPerFolio) {
                var page = world.page(PageOffset(index))
                page.writer = .kernel
                world.setPage(PageOffset(index), to: page)
            }
            actor.step = actor.flags.contains(.registered) ? .truncateStoreGuest : .truncateDropReferences
        case .truncateDropReferences:
            guard let folio = actor.folio else { break }
            var state = use(folio, world, &transition.events)
            state.references &-= Int32(truncatingIfNeeded: world.pagesPerFolio)
            if state.references < 0 { transition.events.insert(.underflow) }
            world.setFolio(folio, to: state)
            actor.step = .truncateUnlockFolio
            if state.references == 0 {
                actor.step = .putDispatch
                actor.afterPut = .truncateUnlockFolio
            }
        case .truncateUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            drop(&actor, then: nextFolio(&actor, operation, world, more: .lookupGet, end: endTruncation(operation)))
        case .punchReleaseLock:
            endInvalidation(&actor, &world)
            transition.events = release(.invalidate, id, &world)
            actor.folio = nil
            if operation.kind == .tearDown {
                if registersWithRequest {
                    actor.step = .teardownDrain
                } else {
                    lookUp(&actor, then: .truncateUnmap)
                }
            } else {
                transition.events.formUnion(finish(&actor))
            }
        case .teardownDrain:
            if world.queuedFolio() != nil {
                transition.wait = .work
            } else {
                actor.step = .teardownDestroy
            }
        default:
            world.hasInode = false
            transition.events = finish(&actor)
        }
        return transition
    }

    /// Where to go when the guest's page table is clean.
    @inlinable
    func leaveInvalidation(_ actor: inout Actor, _ operation: Operation) {
        actor.cursor = 0
        actor.folio = nil
        if operation.kind == .tearDown, !registersWithRequest {
            // The inode is evicted later, without the lock.
            actor.step = .punchReleaseLock
        } else {
            lookUp(&actor, then: .truncateUnmap)
        }
    }

    /// Where to go when the range is truncated.
    @inlinable
    func endTruncation(_ operation: Operation) -> Step {
        operation.kind == .tearDown && !registersWithRequest ? .teardownDestroy : .punchReleaseLock
    }

    /// Moves the cursor to the first page after the folio of the page at the cursor.
    @inlinable
    func nextFolio<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ world: World,
        more: Step,
        end: Step
    ) -> Step {
        let offset = page(actor, operation)
        let next = world.folioStart(of: offset).rawValue &+ world.pagesPerFolio
        return advance(&actor, operation, by: next &- offset.rawValue, more: more, end: end)
    }

    /// Removes one host mapping of the folio, or goes on if there is none left.
    @inlinable
    func unmapForTruncation<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ world: inout World
    ) -> Events {
        var events: Events = []
        let offset = page(actor, operation)
        guard actor.folio != nil else {
            let end = endTruncation(operation)
            return go(&actor, to: nextFolio(&actor, operation, world, more: .lookupGet, end: end))
        }
        let first = world.folioStart(of: offset)
        let isWhole =
            first >= operation.start
            && first.rawValue &+ world.pagesPerFolio <= operation.start.rawValue &+ operation.count
        guard isWhole else {
            // A hole smaller than the folio only zeroes.
            var state = world.page(offset)
            state.writer = .kernel
            world.setPage(offset, to: state)
            actor.step = .truncateUnlockFolio
            return events
        }
        for index in first.rawValue..<(first.rawValue &+ world.pagesPerFolio)
        where unmap(PageOffset(index), addressSpaces: .max, &actor, &world, &events) {
            drop(&actor, then: .truncateUnmap)
            return events
        }
        actor.step = rules.truncation == .restoresAndCompletes ? .truncateClearType : .truncateRemove
        return events
    }
}
