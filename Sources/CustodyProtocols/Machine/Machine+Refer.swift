/// References that are taken without any lock: pins through a mapping, speculative references, and those held from
/// the beginning.
extension Machine {
    @inlinable
    func refer<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        let space: UInt8 = 1 &<< (operation.addressSpace & 7)
        switch actor.step {
        case .pinReadEntry:
            if world.page(offset).hostMappings & space != 0, let folio = world.cachedFolio(at: offset) {
                actor.folio = folio
                actor.step = .pinTryGet
            } else {
                actor.result = .fault
                transition.events = finish(&actor)
            }
        case .speculateLoad:
            if let folio = world.cachedFolio(at: offset) {
                actor.folio = folio
                actor.step = .speculateTryGet
            } else {
                actor.result = .noEntry
                transition.events = finish(&actor)
            }
        case .pinTryGet, .speculateTryGet:
            guard let folio = actor.folio else { break }
            // No use after free: the count of a page can be looked at whoever owns the page.
            var state = world.folio(folio)
            if state.references > 0 {
                state.references &+= 1
                world.setFolio(folio, to: state)
                actor.references = 1
                if actor.step == .pinTryGet {
                    actor.step = .pinRecheck
                } else {
                    drop(&actor, then: .done)
                }
            } else {
                actor.result = .tryAgain
                transition.events = finish(&actor)
            }
        case .pinRecheck:
            if world.page(offset).hostMappings & space != 0, world.cachedFolio(at: offset) == actor.folio {
                actor.step = .pinAccess
            } else {
                actor.result = .tryAgain
                drop(&actor, then: .done)
            }
        default:
            guard let folio = actor.folio else {
                transition.events = finish(&actor)
                return transition
            }
            if actor.remaining > 0 {
                transition.events = touchAsHost(folio, offset, operation, &world)
                actor.remaining &-= 1
            }
            if actor.remaining == 0 { drop(&actor, then: .done) }
        }
        return transition
    }
}
