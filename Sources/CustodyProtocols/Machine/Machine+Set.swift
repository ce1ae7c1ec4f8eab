/// A request for shared memory, also of pages that are on their way to private (`gmem_set_mappable`).
extension Machine {
    @inlinable
    func set<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        switch actor.step {
        case .setTakeLock:
            return take(rules.stateLock, exclusively: true, &actor, operation, id, &world, then: .setLoad)
        case .setLoad:
            actor.folio = nil
            if world.page(offset).mappability == .none {
                lookUp(&actor, then: .setCheckType)
            } else {
                actor.step = .setStoreAll
            }
        case .setCheckType:
            if let folio = actor.folio {
                let isRegistered = use(folio, world, &transition.events).has(.guestmem)
                if isRegistered {
                    actor.step = .setClearType
                } else {
                    actor.step = rules.storesBeforeUnlock ? .setStoreAll : .setUnlockFolio
                }
            } else if registersWithRequest {
                actor.step = .setStoreAll
            } else {
                transition.events.insert(.warned)
                settle(&actor, .failed)
                actor.result = .noEntry
                actor.step = .setReleaseLock
            }
        case .setClearType:
            transition.events = setType(false, actor, &world)
            actor.step = .setRestoreReferences
        case .setRestoreReferences:
            transition.events = restoreReferences(actor, &world)
            actor.step = rules.storesBeforeUnlock ? .setStoreAll : .setUnlockFolio
        case .setStoreAll:
            transition.events = store(.all, at: offset, by: id, &world)
            settle(&actor, .completed)
            if actor.folio != nil, rules.storesBeforeUnlock {
                actor.step = .setUnlockFolio
            } else {
                actor.step = nextSet(&actor, operation, world)
            }
        case .setUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            drop(&actor, then: rules.storesBeforeUnlock ? nextSet(&actor, operation, world) : .setStoreAll)
        default:
            transition.events = release(rules.stateLock, id, &world)
            transition.events.formUnion(finish(&actor))
        }
        return transition
    }

    /// Goes on to the next page, or folio, of the range.
    @inlinable
    func nextSet<World: FolioWorld>(_ actor: inout Actor, _ operation: Operation, _ world: World) -> Step {
        let pages = stride(of: operation, folio: world.pagesPerFolio)
        return advance(&actor, operation, by: pages, more: .setLoad, end: .setReleaseLock)
    }
}
