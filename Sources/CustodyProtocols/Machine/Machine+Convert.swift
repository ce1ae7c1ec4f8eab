/// In-place conversion: `KVM_SET_MEMORY_ATTRIBUTES2` on the file.
extension Machine {
    @inlinable
    func convert<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        let isToPrivate = operation.kind != .convertToShared
        let target: Mappability = isToPrivate ? .guest : .all
        let pages = operation.start.rawValue..<(operation.start.rawValue &+ operation.count)
        switch actor.step {
        case .convertTakeLock:
            return take(.invalidate, exclusively: true, &actor, operation, id, &world, then: .convertCheckTarget)
        case .convertCheckTarget:
            if pages.allSatisfy({ world.page(PageOffset($0)).mappability == target }) {
                settle(&actor, .completed)
                actor.step = .convertReleaseLock
            } else {
                actor.step = isToPrivate ? .convertUnmap : .convertZapGuest
            }
        case .convertUnmap:
            if unmap(offset, addressSpaces: .max, &actor, &world, &transition.events) {
                drop(&actor, then: .convertUnmap)
            } else {
                actor.folio = nil
                actor.step = advance(&actor, operation, more: .convertUnmap, end: .convertGetFolio)
                if actor.step == .convertGetFolio { actor.cursor = 0 }
            }
        case .convertGetFolio:
            if let folio = world.cachedFolio(at: offset) {
                var state = use(folio, world, &transition.events)
                guard state.references > 0 else {
                    transition.wait = .count
                    return transition
                }
                state.references &+= 1
                world.setFolio(folio, to: state)
                actor.folio = folio
                actor.references = 1
                actor.step = rules.looksForMappings ? .convertCheckMapped : .convertCheckCount
            } else {
                actor.folio = nil
                actor.step = nextFolio(&actor, operation, world, more: .convertGetFolio, end: .convertZapGuest)
            }
        case .convertCheckMapped:
            guard let folio = actor.folio else { break }
            // A pin for a device counts among the references of this folio, and is no field of its own: the count tells.
            if use(folio, world, &transition.events).mappings == 0 {
                actor.step = .convertCheckCount
            } else {
                refuseConversion(&actor, &transition.events)
            }
        case .convertCheckCount:
            guard let folio = actor.folio else { break }
            let expected = Int32(truncatingIfNeeded: world.pagesPerFolio) &+ 1
            if use(folio, world, &transition.events).references == expected {
                drop(
                    &actor,
                    then: nextFolio(&actor, operation, world, more: .convertGetFolio, end: .convertZapGuest)
                )
            } else {
                refuseConversion(&actor, &transition.events)
            }
        case .convertZapGuest:
            beginInvalidation(of: operation.start, count: operation.count, &actor, &world)
            actor.folio = nil
            actor.step = .convertStore
        case .convertStore:
            if !isLocked(id, world) { transition.events.insert(.unlocked) }
            for index in pages {
                var state = world.page(PageOffset(index))
                state.mappability = target
                world.setPage(PageOffset(index), to: state)
            }
            actor.cursor = 0
            settle(&actor, .completed)
            actor.step = .convertReleaseLock
        default:
            endInvalidation(&actor, &world)
            transition.events = release(.invalidate, id, &world)
            let again = operation.behavior == .usesOutcome || operation.behavior == .asksAgain
            actor.folio = nil
            if actor.outcome == .blockedByReferences, again {
                actor.cursor = 0
                actor.stop = .max
                actor.outcome = .none
                actor.result = .success
                actor.step = .convertTakeLock
            } else {
                transition.events.formUnion(finish(&actor))
            }
        }
        return transition
    }

    /// Ends a conversion at a folio that somebody refers to.
    @inlinable
    func refuseConversion(_ actor: inout Actor, _ events: inout Events) {
        events.insert(.refused)
        settle(&actor, .blockedByReferences)
        actor.result = .tryAgain
        drop(&actor, then: .convertReleaseLock)
    }
}
