/// Access by the host through a mapping, its fault, and unmapping.
extension Machine {
    @inlinable
    func host<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        _ id: ActorID,
        _ world: inout World
    ) -> Transition {
        var transition = Transition(step: actor.step)
        let offset = page(actor, operation)
        let space: UInt8 = 1 &<< (operation.addressSpace & 7)
        switch actor.step {
        case .hostTouch:
            if actor.remaining == 0 {
                transition.events = finish(&actor)
            } else if world.page(offset).hostMappings & space != 0 {
                if let folio = world.cachedFolio(at: offset) {
                    transition.events = touchAsHost(folio, offset, operation, &world)
                } else {
                    transition.events = .usedAfterFree
                }
                actor.remaining &-= 1
                if actor.remaining == 0 { transition.events.formUnion(finish(&actor)) }
            } else {
                actor.step = .faultTakeInvalidate
            }
        case .faultTakeInvalidate:
            let next: Step = rules.stateLock == .offsets ? .faultTakeOffsets : .lookupGet
            transition = take(.invalidate, exclusively: false, &actor, operation, id, &world, then: next)
            if actor.step == .lookupGet { lookUp(&actor, then: .faultCheckPoison) }
        case .faultTakeOffsets:
            transition = take(.offsets, exclusively: false, &actor, operation, id, &world, then: .lookupGet)
            if !transition.isBlocked { lookUp(&actor, then: .faultCheckPoison) }
        case .faultCheckPoison:
            if let folio = actor.folio {
                let isPoisoned = use(folio, world, &transition.events).has(.poisoned)
                actor.step = .faultCheckMappable
                if isPoisoned { refuse(&actor, .poisoned) }
            } else {
                actor.result = .noMemory
                actor.step = leaveFault
            }
        case .faultCheckMappable:
            actor.step = isInPlace ? .faultZero : .faultCheckType
            if world.page(offset).mappability != .all { refuse(&actor, .busError) }
        case .faultCheckType:
            guard let folio = actor.folio else { break }
            let isRegistered = use(folio, world, &transition.events).has(.guestmem)
            actor.step = .faultZero
            if isRegistered {
                transition.events.insert(.warned)
                refuse(&actor, .busError)
            }
        case .faultZero:
            transition.events = zero(actor, &world)
            actor.step = leaveFault
        case .faultReleaseOffsets:
            transition.events = release(.offsets, id, &world)
            actor.step = .faultReleaseInvalidate
        case .faultReleaseInvalidate:
            transition.events = release(.invalidate, id, &world)
            if actor.result == .success {
                actor.step = .faultMap
            } else {
                transition.events.formUnion(finish(&actor))
            }
        case .faultMap:
            guard let folio = actor.folio else { break }
            var state = world.page(offset)
            if state.hostMappings & space == 0 {
                state.hostMappings |= space
                world.setPage(offset, to: state)
                var owner = use(folio, world, &transition.events)
                owner.mappings &+= 1
                world.setFolio(folio, to: owner)
                actor.references = 0
            }
            actor.step = .faultUnlockFolio
        case .faultUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            if actor.references > 0 {
                drop(&actor, then: .hostTouch)
            } else {
                actor.folio = nil
                actor.step = .hostTouch
            }
        case .faultRefuseUnlockFolio:
            transition.events = unlockFolio(actor, id, &world)
            drop(&actor, then: leaveFault)
        default:
            let all = operation.kind != .hostUnmap
            if unmap(offset, addressSpaces: all ? .max : space, &actor, &world, &transition.events) {
                drop(&actor, then: .unmapZap)
            } else {
                actor.folio = nil
                transition.events.formUnion(leaveUnmap(&actor, operation))
            }
        }
        return transition
    }

    /// Refuses a host fault.
    @inlinable
    func refuse(_ actor: inout Actor, _ result: KernelResult) {
        actor.result = result
        actor.step = .faultRefuseUnlockFolio
    }

    /// Where a fault begins to release its locks.
    @inlinable
    var leaveFault: Step { rules.stateLock == .offsets ? .faultReleaseOffsets : .faultReleaseInvalidate }

    /// Where to go on when a page is mapped in no host address space any more.
    @inlinable
    func leaveUnmap(_ actor: inout Actor, _ operation: Operation) -> Events {
        switch operation.kind {
        case .convertToPrivate, .requestPrivate, .register:
            actor.step = registersWithRequest ? .clearTakeLock : .registerSelect
            return []
        case .tearDown:
            let next = advance(&actor, operation, more: .unmapZap, end: .punchTakeLock)
            if next == .punchTakeLock { actor.cursor = 0 }
            return go(&actor, to: next)
        default:
            return go(&actor, to: advance(&actor, operation, more: .unmapZap, end: .done))
        }
    }
}
