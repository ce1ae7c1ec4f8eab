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
                let isRegistered = use(folio, world, &transition.events).flags.contains(.guestmem)
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
                actor.step =
                    rules.putsUnderLock
                    ? advance(&actor, operation, more: .setLoad, end: .setReleaseLock) : .setReleaseLock
            }
        case .setUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            if !rules.putsUnderLock {
                actor.step = .setReleaseLock
            } else if rules.storesBeforeUnlock {
                drop(&actor, then: advance(&actor, operation, more: .setLoad, end: .setReleaseLock))
            } else {
                drop(&actor, then: .setStoreAll)
            }
        default:
            transition.events = release(rules.stateLock, id, &world)
            var next = Step.done
            if !rules.putsUnderLock {
                let pages = stride(of: operation, folio: world.pagesPerFolio)
                next = advance(&actor, operation, by: pages, more: .setTakeLock, end: .done)
                if actor.folio != nil {
                    drop(&actor, then: next)
                    return transition
                }
            }
            transition.events.formUnion(go(&actor, to: next))
        }
        return transition
    }
}
