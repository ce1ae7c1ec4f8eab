import CustodyProtocols

/// The properties, as functions of (state, transition, state) and of a state in which nobody can go on.
extension Exploration {
    /// Judges one transition, or an attempt that has to wait. What it looks at in the worlds, and in other actors, counts
    /// as read by the step.
    @inline(__always)
    func judge<World: ExploredWorld>(
        _ transition: Transition,
        _ index: Int,
        _ actors: borrowing InlineArray<8, Actor>,
        before: World,
        actor: Actor,
        after: World,
        _ broken: inout Violations
    ) {
        let events = transition.events
        if transition.wait == .ownLock { broken.insert(.noSelfDeadlock) }
        if !events.isEmpty {
            if events.contains(.hostTouchedPrivate) { broken.insert(.noHostAccessToPrivate) }
            if events.contains(.underflow) { broken.insert(.noUnderflow, fatal: true) }
            if events.contains(.usedAfterFree) || events.contains(.nullMapping) {
                broken.insert(.noUseAfterFree, fatal: true)
            }
            if events.contains(.completedOutOfTurn) { broken.insert(.completesOnce) }
            if events.contains(.unlocked) { broken.insert(.locksHeld) }
            if events.contains(.sleptInAtomic) { broken.insert(.neverSleepsInAtomic) }
            if events.contains(.leftTarget) { broken.insert(.privateStaysPrivate) }
            if events.contains(.staleContents) { broken.insert(.noStaleContents) }
            if events.contains(.warned) { broken.insert(.noWarning) }
            if events.contains(.freed) { judgeFree(index, copy actors, before, &broken) }
            if events.contains(.ended) { judgeAnswer(index, actor, after, &broken) }
        }
        if transition.isBlocked { return }
        if transition.step == .faultMap || transition.step == .guestMap {
            judgeFault(index, actors[index].cursor, before, after, &broken)
        }
        // Only a page that the step changed can have come to break something.
        for page in 0..<Int(truncatingIfNeeded: codec.world.pageCount) {
            let (old, new) = (before.small.pages[page], after.small.pages[page])
            if old.mappability == new.mappability, old.hostMappings == new.hostMappings { continue }
            judgePage(page, index, copy actors, becamePrivate: old.mappability != .guest, after, &broken)
        }
    }

    /// The mappability or the host's mappings of a page have changed: may they be as they are?
    func judgePage<World: ExploredWorld>(
        _ page: Int,
        _ index: Int,
        _ actors: InlineArray<8, Actor>,
        becamePrivate: Bool,
        _ after: World,
        _ broken: inout Violations
    ) {
        let offset = PageOffset(UInt64(page))
        let state = after.page(offset)
        guard state.mappability == .guest else { return }
        if state.hostMappings != 0 { broken.insert(.neverPrivateWhileHostMapped) }
        // Does anybody else hold a pin through which the page may be touched?
        guard becamePrivate, let folio = after.cachedFolio(at: offset) else { return }
        after.observe(.touch)
        for other in 0..<operations.count where other != index && actors[other].touchedFolio == folio {
            broken.insert(.neverPrivateWhileHeld)
        }
    }

    /// A fault may have mapped a page: was the party allowed to?
    func judgeFault<World: ExploredWorld>(
        _ index: Int,
        _ cursor: UInt32,
        _ before: World,
        _ after: World,
        _ broken: inout Violations
    ) {
        let offset = PageOffset(operations[index].start.rawValue + UInt64(cursor))
        let (old, new) = (before.page(offset), after.page(offset))
        if new.hostMappings != old.hostMappings, new.mappability != .all { broken.insert(.faultsObeyState) }
        if new.isGuestMapped, !old.isGuestMapped, !new.mappability.isGuestMappable { broken.insert(.faultsObeyState) }
    }

    /// An operation has ended: does its answer name the first page that did not get there? What the pages say about it
    /// is judged only where no other operation converts or discards them.
    func judgeAnswer<World: ExploredWorld>(
        _ index: Int,
        _ actor: Actor,
        _ world: World,
        _ broken: inout Violations
    ) {
        let operation = operations[index]
        guard operation.kind == .convertToPrivate || operation.kind == .convertToShared else { return }
        let answer = actor.answer(to: operation)
        guard let stop = answer.firstStop else {
            if answer.outcome != .completed { broken.insert(.answerNamesBlocker) }
            return
        }
        if answer.outcome == .completed { broken.insert(.answerNamesBlocker) }
        let isAlone = operations.indices.allSatisfy { other in
            let kind = operations[other].kind
            return other == index || !(kind.isConversion || kind == .punchHole || kind == .tearDown)
        }
        guard isAlone, answer.outcome.isBlocked else { return }
        let target: Mappability = operation.kind == .convertToShared ? .all : .guest
        if world.page(stop).mappability == target { broken.insert(.answerNamesBlocker) }
        guard !machine.isInPlace else { return }
        for page in operation.start.rawValue..<stop.rawValue
        where world.page(PageOffset(page)).mappability != target { broken.insert(.answerNamesBlocker) }
    }

    /// A folio was freed: does anybody still refer to it?
    func judgeFree<World: ExploredWorld>(
        _ index: Int,
        _ actors: InlineArray<8, Actor>,
        _ before: World,
        _ broken: inout Violations
    ) {
        guard let folio = actors[index].folio else { return }
        let state = before.folio(folio)
        var isReferenced = state.mappings != 0 || before.cachedFolio(at: state.index) == folio
        before.observe(.references)
        for other in 0..<operations.count where other != index && actors[other].referencedFolio == folio {
            isReferenced = true
        }
        if isReferenced { broken.insert(.noFreeWhileReferenced, fatal: true) }
    }

    /// Judges a state in which nobody can go on.
    func judgeEnd(_ state: SystemState, _ broken: inout Violations) {
        var waitsForHandover = false
        var waitsForLock = false
        var waitsForItself = false
        for index in 0..<operations.count where !state.actors[index].isDone {
            var copy = state
            switch step(&copy, index).wait {
            case .ownLock: waitsForItself = true
            case .handover: waitsForHandover = true
            case .work: if operations[index].kind != .completer { waitsForLock = true }
            case .none, .invalidateLock, .offsetsLock, .folioLock, .count: waitsForLock = true
            }
        }
        if waitsForItself { return }
        if waitsForLock {
            broken.insert(.noDeadlock)
            return
        }
        if waitsForHandover {
            var isRegistered = false
            for index in 0..<operations.count where state.actors[index].step == .awaitHandover {
                let page = operations[index].start.rawValue + UInt64(state.actors[index].cursor)
                if DescribedState(of: PageOffset(page), in: state.world) == .pending { isRegistered = true }
            }
            broken.insert(isRegistered ? .handoverNotLost : .noStrandedCaller)
            return
        }
        let owesRegistration = operations.contains { $0.kind == .requestPrivate || $0.kind == .register }
        for page in 0..<codec.world.pageCount {
            switch DescribedState(of: PageOffset(page), in: state.world) {
            case .pending: broken.insert(.handoverNotLost)
            case .none: if !owesRegistration { broken.insert(.refusalChangesNothing) }
            case .all, .guest: break
            }
        }
        judgeAnswers(state, &broken)
        if state.world.isAnythingLocked { broken.insert(.locksHeld) }
        for index in 0..<state.world.folioCount {
            let flags = state.world.folios[index].flags
            if flags.contains(.allocated), !flags.contains(.cached) { broken.insert(.handoverNotLost) }
        }
    }

    /// All is done: have the requests that were answered with success taken effect? Only where nobody undoes them.
    func judgeAnswers(_ state: SystemState, _ broken: inout Violations) {
        let undoes = operations.contains { operation in
            switch operation.kind {
            case .punchHole, .tearDown: true
            default: operation.kind.isConversion && operation.kind != operations[0].kind
            }
        }
        for index in 0..<operations.count where state.actors[index].result == .success {
            judgeEffect(operations[index], state, &broken)
        }
        guard !undoes else { return }
        for index in 0..<operations.count where operations[index].kind.isConversion {
            guard state.actors[index].outcome == .completed else { continue }
            let target: Mappability = operations[index].kind == .convertToShared ? .all : .guest
            let start = operations[index].start.rawValue
            for page in start..<(start + operations[index].count)
            where state.world.page(PageOffset(page)).mappability != target { broken.insert(.completedIsTrue) }
        }
    }

    /// All is done, and a memory failure or a teardown was answered with success: nobody maps the broken memory, and
    /// the inode has ended.
    func judgeEffect(_ operation: Operation, _ state: SystemState, _ broken: inout Violations) {
        switch operation.kind {
        case .tearDown:
            if state.world.hasInode { broken.insert(.completedIsTrue) }
        case .poison where !operations.contains { $0.kind == .punchHole || $0.kind == .tearDown }:
            guard let id = state.world.cachedFolio(at: operation.start) else { return }
            let page = state.world.page(operation.start)
            let isMarked = state.world.folio(id).flags.contains(.poisoned)
            if !isMarked || page.isGuestMapped || page.hostMappings != 0 { broken.insert(.completedIsTrue) }
        default: return
        }
    }
}

extension SmallWorld {
    /// Whether somebody holds a lock.
    fileprivate var isAnythingLocked: Bool {
        for lock in [invalidateLock, offsetsLock] where lock.writer != 0 || lock.readers != 0 { return true }
        for index in 0..<folioCount where folios[index].lockOwner != 0 { return true }
        return false
    }
}
