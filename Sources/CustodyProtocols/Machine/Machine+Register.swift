/// Registration of a hand-over, and what a caller does with the answer.
extension Machine {
    @inlinable
    func register<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        switch actor.step {
        case .registerSelect:
            // The caller asks under the shared lock whether the page still waits.
            guard let mappability = loadShared(at: offset, world, &transition) else { return transition }
            switch mappability {
            case .none: actor.step = .registerTakeLock
            case .guest:
                settle(&actor, .completed)
                actor.step = .registerReturn
            case .all:
                settle(&actor, .cancelled)
                actor.step = .registerReturn
            }
        case .registerTakeLock:
            transition = take(rules.stateLock, exclusively: true, &actor, operation, id, &world, then: .lookupGet)
            if !transition.isBlocked { lookUp(&actor, then: .registerGuard) }
        case .registerGuard:
            transition.events = guardRegistration(&actor, world)
        case .registerSetType, .registerSetTypeFrozen:
            transition.events = setType(true, actor, &world)
            actor.step = actor.step == .registerSetType ? .registerSubtract : .registerUnfreeze
        case .registerSubtract:
            guard let folio = actor.folio else { break }
            var state = use(folio, world, &transition.events)
            state.references &-= Int32(truncatingIfNeeded: world.pagesPerFolio)
            if state.references < 0 { transition.events.insert(.underflow) }
            world.setFolio(folio, to: state)
            if state.references == 1, rules.registration != .dropOnly {
                actor.step = .registerStoreGuest
            } else {
                transition.events.insert(.registered)
                settle(&actor, .pending)
                actor.result = registersWithRequest ? .inProgress : .tryAgain
                actor.step = registersWithRequest ? .clearUnlockFolio : .registerUnlockFolio
            }
        case .registerObserve:
            guard let folio = actor.folio else { break }
            actor.observed = use(folio, world, &transition.events).references
            actor.step = .registerFreeze
        case .registerFreeze:
            guard let folio = actor.folio else { break }
            var state = use(folio, world, &transition.events)
            if state.references == actor.observed {
                state.references = 0
                world.setFolio(folio, to: state)
                actor.step = actor.observed > 1 ? .registerSetTypeFrozen : .registerStoreGuest
            } else {
                transition.events.insert(.refused)
                settle(&actor, .blockedByReferences)
                actor.result = .tryAgain
                actor.step = .registerUnlockFolio
            }
        case .registerUnfreeze:
            guard let folio = actor.folio else { break }
            var state = use(folio, world, &transition.events)
            let pages = state.has(.guestmem) ? Int32(truncatingIfNeeded: world.pagesPerFolio) : 0
            state.references = actor.observed &- pages
            world.setFolio(folio, to: state)
            transition.events.insert(.registered)
            settle(&actor, .pending)
            actor.step = .registerUnlockFolio
        case .registerStoreGuest:
            transition.events = store(.guest, at: offset, by: id, &world)
            settle(&actor, .completed)
            actor.step = rules.registration == .freeze ? .registerUnfreeze : .registerClearType
        case .registerClearType:
            transition.events = setType(false, actor, &world)
            actor.step = .registerRestoreReferences
        case .registerRestoreReferences:
            transition.events = restoreReferences(actor, &world)
            actor.step = registersWithRequest ? .clearUnlockFolio : .registerUnlockFolio
        case .registerUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            actor.observed = 0
            drop(&actor, then: .registerReleaseLock)
        case .registerReleaseLock:
            transition.events = release(rules.stateLock, id, &world)
            actor.step = .registerReturn
        case .registerReturn:
            transition.events = answered(&actor, operation, world)
        default:
            switch world.page(offset).mappability {
            case .none:
                transition.wait = .handover
            case .guest:
                unsettle(&actor)
                settle(&actor, .completed)
                transition.events = nextConversion(&actor, operation, world)
            case .all:
                unsettle(&actor)
                settle(&actor, .cancelled)
                transition.events = nextConversion(&actor, operation, world)
            }
        }
        return transition
    }

    /// Refuses a folio that is mapped, or that has the type already. Both locks are held.
    @inlinable
    func guardRegistration<World: FolioWorld>(_ actor: inout Actor, _ world: World) -> Events {
        guard let folio = actor.folio else {
            settle(&actor, .failed)
            actor.result = .noEntry
            actor.step = .registerReleaseLock
            return [.warned, .refused]
        }
        var events: Events = []
        let state = use(folio, world, &events)
        if state.has(.guestmem) {
            settle(&actor, .pending)
            actor.result = rules.registration == .freeze ? .success : .tryAgain
            actor.step = .registerUnlockFolio
        } else if state.mappings != 0 {
            events.insert(.refused)
            settle(&actor, .blockedByMapping)
            actor.result = .tryAgain
            actor.step = .registerUnlockFolio
        } else {
            actor.step = rules.registration == .freeze ? .registerObserve : .registerSetType
        }
        return events
    }

    /// What the caller does with the answer for the page at the cursor.
    @inlinable
    func answered<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ world: World
    ) -> Events {
        actor.folio = nil
        let again: Step = registersWithRequest ? .clearTakeLock : .registerSelect
        switch (actor.pageOutcome, operation.behavior) {
        case (.pending, .usesOutcome), (.pending, .believesRegistered),
            (.blockedByMapping, .believesRegistered), (.blockedByReferences, .believesRegistered):
            actor.step = .awaitHandover
            return []
        case (.pending, .asksAgain) where actor.result == .success:
            actor.step = .awaitHandover
            return []
        case (.blockedByMapping, .usesOutcome):
            unsettle(&actor)
            actor.step = .unmapZap
            return []
        case (.pending, .asksAgain), (.blockedByMapping, .asksAgain), (.blockedByReferences, .asksAgain),
            (.blockedByReferences, .usesOutcome):
            unsettle(&actor)
            actor.step = again
            return []
        default:
            return nextConversion(&actor, operation, world)
        }
    }

    /// Goes on to the next page, or folio, of the range.
    @inlinable
    func nextConversion<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ world: World
    ) -> Events {
        var again: Step = registersWithRequest ? .clearTakeLock : .registerSelect
        if operation.kind == .register, !registersWithRequest { again = .registerTakeLock }
        let pages = stride(of: operation, folio: world.pagesPerFolio)
        actor.pageOutcome = .none
        return go(&actor, to: advance(&actor, operation, by: pages, more: again, end: .done))
    }
}
