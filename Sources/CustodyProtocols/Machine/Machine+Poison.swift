/// A memory failure: marks the folio, unmaps it from the host, removes it from the guest's page table.
extension Machine {
    @inlinable
    func poison<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        switch actor.step {
        case .poisonGet:
            guard let folio = world.cachedFolio(at: offset) else {
                actor.result = .noEntry
                transition.events = finish(&actor)
                return transition
            }
            var state = use(folio, world, &transition.events)
            guard state.references > 0 else {
                actor.result = .tryAgain
                transition.events.formUnion(finish(&actor))
                return transition
            }
            state.references &+= 1
            world.setFolio(folio, to: state)
            actor.folio = folio
            actor.references = 1
            actor.step = .poisonMark
        case .poisonMark:
            guard let folio = actor.folio else { break }
            var state = use(folio, world, &transition.events)
            state.insert(.poisoned)
            world.setFolio(folio, to: state)
            actor.step = .poisonLockFolio
        case .poisonLockFolio:
            return lockFolio(&actor, operation, id, &world, then: .poisonUnmap)
        case .poisonUnmap:
            guard let folio = actor.folio else { break }
            guard world.cachedFolio(at: offset) == folio else {
                actor.step = .poisonUnlockFolio
                break
            }
            let first = world.folioStart(of: offset)
            for index in first.rawValue..<(first.rawValue &+ world.pagesPerFolio)
            where unmap(PageOffset(index), addressSpaces: .max, &actor, &world, &transition.events) {
                drop(&actor, then: .poisonUnmap)
                return transition
            }
            actor.step = rules.poisonLock == .none ? .poisonZapGuest : .poisonTakeLock
        case .poisonTakeLock:
            var taken = take(.invalidate, exclusively: false, &actor, operation, id, &world, then: .poisonZapGuest)
            if taken.isBlocked, rules.poisonLock == .tries {
                // The recovery has failed: the guest keeps what it maps.
                taken.wait = .none
                actor.result = .busy
                actor.step = .poisonUnlockFolio
            }
            return taken
        case .poisonZapGuest:
            // The folio stays in the file: nothing happens between the two ends of this invalidation.
            beginInvalidation(of: world.folioStart(of: offset), count: world.pagesPerFolio, &actor, &world)
            endInvalidation(&actor, &world)
            actor.step = rules.poisonLock == .none ? .poisonUnlockFolio : .poisonReleaseLock
        case .poisonReleaseLock:
            transition.events = release(.invalidate, id, &world)
            actor.step = .poisonUnlockFolio
        default:
            transition.events = unlockFolio(actor, id, &world)
            drop(&actor, then: .done)
        }
        return transition
    }
}
