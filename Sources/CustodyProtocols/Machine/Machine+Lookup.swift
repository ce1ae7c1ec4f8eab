/// Looking up and locking a folio of the page cache (`filemap_lock_folio`, `filemap_grab_folio`).
extension Machine {
    @inlinable
    func lookup<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        switch actor.step {
        case .lookupGet:
            if let folio = world.cachedFolio(at: offset) {
                var state = use(folio, world, &transition.events)
                // The look-up tries again for as long as the count is zero; nothing but the count can end that.
                guard state.references > 0 else {
                    transition.wait = .count
                    return transition
                }
                state.references &+= 1
                world.setFolio(folio, to: state)
                actor.folio = folio
                actor.references = 1
                actor.step = .lookupLock
            } else if operation.kind == .hostAccess || operation.kind == .guestAccess {
                guard let folio = world.unusedFolio() else {
                    actor.folio = nil
                    actor.step = actor.afterLookup
                    return transition
                }
                let first = world.folioStart(of: offset)
                let pages = Int32(truncatingIfNeeded: world.pagesPerFolio)
                var state = world.folio(folio)
                state.references = pages &+ 1
                state.mappings = 0
                state.index = first
                state.insert([.allocated, .cached])
                state.lock(for: id)
                world.setFolio(folio, to: state)
                world.setCachedFolio(folio, at: first)
                actor.folio = folio
                actor.references = 1
                actor.step = actor.afterLookup
            } else {
                actor.folio = nil
                actor.step = actor.afterLookup
            }
        case .lookupLock:
            let waits = lockFolio(&actor, operation, id, &world, then: actor.afterLookup)
            guard !waits.isBlocked else { return waits }
            transition = waits
            if world.cachedFolio(at: offset) != actor.folio { actor.step = .lookupUnlockStale }
        default:
            transition.events = unlockFolio(actor, id, &world)
            drop(&actor, then: .lookupGet)
        }
        return transition
    }
}
