/// A request for private memory (`gmem_clear_mappable`; version 7: `kvm_gmem_offset_range_clear_shared`).
extension Machine {
    @inlinable
    func clear<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        switch actor.step {
        case .clearTakeLock:
            transition = take(rules.stateLock, exclusively: true, &actor, operation, id, &world, then: .lookupGet)
            if !transition.isBlocked { lookUp(&actor, then: .clearCheck) }
        case .clearCheck:
            transition.events = registersWithRequest ? request(&actor, offset, &world) : check(&actor, &world)
        case .clearStoreGuest:
            transition.events = store(.guest, at: offset, by: id, &world)
            if registersWithRequest || operation.kind == .requestPrivate { settle(&actor, .completed) }
            if actor.flags.contains(.froze) {
                actor.step = .clearUnfreeze
            } else if actor.folio != nil {
                actor.step = .clearUnlockFolio
            } else {
                transition.events.formUnion(leaveClear(&actor, operation))
            }
        case .clearUnfreeze:
            guard let folio = actor.folio else { break }
            var state = use(folio, world, &transition.events)
            state.references = actor.observed
            world.setFolio(folio, to: state)
            actor.flags.remove(.froze)
            actor.step = .clearUnlockFolio
        case .clearStoreNone:
            transition.events = store(.none, at: offset, by: id, &world)
            actor.step = registersWithRequest ? .registerSetType : .clearUnlockFolio
            if operation.kind == .requestPrivate, !registersWithRequest { settle(&actor, .blockedByReferences) }
        case .clearUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            actor.observed = 0
            let next: Step =
                registersWithRequest
                ? .clearReleaseLock : advance(&actor, operation, more: .lookupGet, end: .clearReleaseLock)
            drop(&actor, then: next)
        default:
            transition.events = release(rules.stateLock, id, &world)
            if registersWithRequest {
                actor.step = .registerReturn
            } else {
                actor.cursor = 0
                actor.folio = nil
                actor.step = .registerSelect
                if operation.kind == .requestPrivate { transition.events.formUnion(finish(&actor)) }
            }
        }
        return transition
    }

    /// Where a page without a folio goes on.
    @inlinable
    func leaveClear(_ actor: inout Actor, _ operation: Operation) -> Events {
        if registersWithRequest {
            actor.step = .clearReleaseLock
            return []
        }
        return go(&actor, to: advance(&actor, operation, more: .lookupGet, end: .clearReleaseLock))
    }

    /// Looks at the references, or freezes them: the file's, and one of whoever looks, are expected.
    @inlinable
    func check<World: FolioWorld>(_ actor: inout Actor, _ world: inout World) -> Events {
        guard let folio = actor.folio else {
            actor.step = .clearStoreGuest
            return []
        }
        var events: Events = []
        var state = use(folio, world, &events)
        let expected = Int32(truncatingIfNeeded: world.pagesPerFolio) &+ 1
        switch rules.check {
        case .look:
            actor.step = state.references > expected ? .clearStoreNone : .clearStoreGuest
        case .freeze:
            if state.references == expected {
                state.references = 0
                world.setFolio(folio, to: state)
                actor.observed = expected
                actor.flags.insert(.froze)
                actor.step = .clearStoreGuest
            } else {
                actor.step = .clearStoreNone
            }
        }
        return events
    }

    /// `gmem-custody`: decides, before anything is changed, what the request means. Both locks are held.
    @inlinable
    func request<World: FolioWorld>(_ actor: inout Actor, _ offset: PageOffset, _ world: inout World) -> Events {
        guard let folio = actor.folio else {
            actor.step = .clearStoreGuest
            return []
        }
        var events: Events = []
        let state = use(folio, world, &events)
        switch world.page(offset).mappability {
        case .guest:
            settle(&actor, .completed)
            actor.step = .clearUnlockFolio
        case .none:
            settle(&actor, .pending)
            actor.result = .inProgress
            actor.step = .clearUnlockFolio
        case .all where state.mappings != 0:
            settle(&actor, .blockedByMapping)
            actor.result = .tryAgain
            events.insert(.refused)
            actor.step = .clearUnlockFolio
        case .all:
            actor.step = .clearStoreNone
        }
        return events
    }
}
