/// Dropping a reference, and what the final drop of a registered folio does in the context of whoever dropped it.
extension Machine {
    @inlinable
    func put<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        guard let folio = actor.folio else {
            transition.events.insert(.warned)
            transition.events.formUnion(go(&actor, to: actor.afterPut))
            return transition
        }
        switch actor.step {
        case .putDrop:
            var state = use(folio, world, &transition.events)
            state.references &-= 1
            if state.references < 0 { transition.events.insert(.underflow) }
            actor.references &-= actor.references > 0 ? 1 : 0
            world.setFolio(folio, to: state)
            if state.references == 0 {
                actor.step = .putDispatch
            } else {
                transition.events.formUnion(go(&actor, to: actor.afterPut))
            }
        case .putDispatch:
            var state = use(folio, world, &transition.events)
            if state.has(.guestmem) {
                switch rules.finalPut {
                case .queues:
                    actor.step = .completionEnqueue
                case .completesInline where state.has(.cached):
                    actor.step = .callbackTakeLock
                case .completesInline:
                    // The folio was truncated: `folio->mapping` is a null pointer.
                    transition.events.insert(rules.checksMapping ? .warned : .nullMapping)
                    transition.events.formUnion(go(&actor, to: actor.afterPut))
                }
            } else {
                state.remove(.all)
                world.setFolio(folio, to: state)
                transition.events.insert(.freed)
                transition.events.formUnion(go(&actor, to: actor.afterPut))
            }
        case .callbackTakeLock:
            let next: Step = rules.completionLocksFolio ? .callbackLockFolio : .callbackClearType
            return take(rules.stateLock, exclusively: true, &actor, operation, id, &world, then: next)
        case .callbackLockFolio:
            return lockFolio(&actor, operation, id, &world, then: .callbackClearType)
        case .callbackClearType:
            transition.events = setType(false, actor, &world)
            actor.step = .callbackRestoreReferences
        case .callbackRestoreReferences:
            transition.events = restoreReferences(actor, &world)
            actor.step = rules.completionLocksFolio ? .callbackUnlockFolio : .callbackStoreGuest
        case .callbackUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            actor.step = .callbackStoreGuest
        case .callbackStoreGuest:
            // Only the first page of the folio: the code stores at `folio->index`.
            let index = world.folio(folio).index
            if world.page(index).mappability != .none { transition.events.insert(.completedOutOfTurn) }
            transition.events.formUnion(store(.guest, at: index, by: id, &world))
            actor.step = .callbackReleaseLock
        case .callbackReleaseLock:
            transition.events = release(rules.stateLock, id, &world)
            transition.events.formUnion(go(&actor, to: actor.afterPut))
        case .completionEnqueue:
            // While the count is zero nobody can look the folio up: whoever can later sees that it is queued.
            var state = use(folio, world, &transition.events)
            state.insert(.queued)
            world.setFolio(folio, to: state)
            actor.step = .completionResurrect
        default:
            var state = use(folio, world, &transition.events)
            state.references &+= 1
            world.setFolio(folio, to: state)
            transition.events.formUnion(go(&actor, to: actor.afterPut))
        }
        return transition
    }
}
