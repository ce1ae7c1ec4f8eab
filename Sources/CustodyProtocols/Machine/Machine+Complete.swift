/// The completer of `gmem-custody`: ends hand-overs whose last reference was dropped, in a process of its own.
extension Machine {
    @inlinable
    func complete<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        switch actor.step {
        case .completerTake:
            guard let folio = world.queuedFolio(), world.folio(folio).references > 0 else {
                transition.wait = .work
                return transition
            }
            actor.folio = folio
            actor.references = 1
            actor.step = .completerTakeLock
        case .completerTakeLock:
            return take(rules.stateLock, exclusively: true, &actor, operation, id, &world, then: .completerLockFolio)
        case .completerLockFolio:
            return lockFolio(&actor, operation, id, &world, then: .completerCheck)
        case .completerCheck:
            guard let folio = actor.folio else { break }
            let state = use(folio, world, &transition.events)
            let isStillMine = state.has(.guestmem) && state.references == 1
            actor.step = isStillMine ? .completerStoreGuest : .completerUnlockFolio
        case .completerStoreGuest:
            guard let folio = actor.folio else { break }
            let index = world.folio(folio).index
            if world.page(index).mappability != .none { transition.events.insert(.completedOutOfTurn) }
            transition.events.formUnion(store(.guest, at: index, by: id, &world))
            actor.step = .completerClearType
        case .completerClearType:
            transition.events = setType(false, actor, &world)
            actor.step = .completerRestoreReferences
        case .completerRestoreReferences:
            transition.events = restoreReferences(actor, &world)
            actor.step = .completerUnlockFolio
        case .completerUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            actor.step = .completerReleaseLock
        case .completerReleaseLock:
            transition.events = release(rules.stateLock, id, &world)
            actor.step = .completerDequeue
        default:
            guard let folio = actor.folio else { break }
            var state = use(folio, world, &transition.events)
            state.remove(.queued)
            world.setFolio(folio, to: state)
            drop(&actor, then: .completerTake)
        }
        return transition
    }
}
