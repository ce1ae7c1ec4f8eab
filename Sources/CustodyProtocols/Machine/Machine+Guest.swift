/// Access by the guest and its fault. The guest's page table holds no reference on a folio: an invalidation removes
/// the entry before the folio goes, and a fault that it overtook tries again.
extension Machine {
    @inlinable
    func guest<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        switch actor.step {
        case .guestTouch:
            if actor.remaining == 0 {
                transition.events = finish(&actor)
            } else if world.page(offset).isGuestMapped {
                transition.events = touchAsGuest(offset, operation, &world)
                actor.remaining &-= 1
                if actor.remaining == 0 { transition.events.formUnion(finish(&actor)) }
            } else {
                actor.step = .guestReadSequence
            }
        case .guestReadSequence:
            actor.observed = Int32(world.invalidateSequence)
            if rules.guestLocksStateFirst {
                actor.step = .guestTakeInvalidate
            } else {
                lookUp(&actor, then: .guestCheckPoison)
            }
        case .guestTakeInvalidate:
            transition = take(.invalidate, exclusively: false, &actor, operation, id, &world, then: .lookupGet)
            if !transition.isBlocked { lookUp(&actor, then: .guestCheckPoison) }
        case .guestCheckPoison:
            if let folio = actor.folio {
                let isPoisoned = use(folio, world, &transition.events).has(.poisoned)
                actor.step = isInPlace ? .guestZero : .guestCheckMappable
                if isPoisoned {
                    actor.result = .poisoned
                    actor.step = .guestUnlockFolio
                }
            } else {
                actor.result = .noMemory
                if rules.guestLocksStateFirst {
                    actor.step = .guestReleaseInvalidate
                } else {
                    transition.events = finish(&actor)
                }
            }
        case .guestCheckMappable:
            guard let mappability = loadShared(at: offset, world, &transition) else { return transition }
            if mappability.isGuestMappable {
                actor.step = .guestZero
            } else {
                actor.result = .tryAgain
                actor.step = .guestUnlockFolio
            }
        case .guestZero:
            transition.events = zero(actor, &world)
            actor.step = .guestMap
        case .guestMap:
            if world.invalidationsInProgress == 0, actor.observed == Int32(world.invalidateSequence) {
                var state = world.page(offset)
                state.isGuestMapped = true
                world.setPage(offset, to: state)
            }
            actor.step = .guestUnlockFolio
        case .guestUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            actor.observed = 0
            if rules.guestLocksStateFirst {
                actor.step = .guestReleaseInvalidate
            } else {
                drop(&actor, then: actor.result == .success ? .guestTouch : .done)
            }
        default:
            transition.events = release(.invalidate, id, &world)
            if actor.references > 0 {
                drop(&actor, then: actor.result == .success ? .guestTouch : .done)
            } else {
                transition.events.formUnion(finish(&actor))
            }
        }
        return transition
    }

    /// Touches the memory of a page as the guest.
    @inlinable
    func touchAsGuest<World: FolioWorld>(
        _ offset: PageOffset,
        _ operation: Operation,
        _ world: inout World
    ) -> Events {
        var events: Events = .guestAccess
        guard let folio = world.cachedFolio(at: offset) else { return events.union(.usedAfterFree) }
        if !use(folio, world, &events).has(.upToDate) { events.insert(.staleContents) }
        var state = world.page(offset)
        if operation.writes, state.writer != .guest {
            state.writer = .guest
            world.setPage(offset, to: state)
        }
        return events
    }
}
