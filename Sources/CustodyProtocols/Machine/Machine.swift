/// The step machine of a protocol: carries out one atomic action of one actor.
///
/// A pure function of (world, actor): no clock, no randomness, no allocation. Whoever drives it decides which actor
/// steps next; the checker tries all, the simulation follows a schedule. All protocols run through this one machine and
/// differ only in ``rules``.
public struct Machine: Sendable {
    /// Where the protocols differ.
    public let rules: Rules

    /// The machine that follows `rules`.
    public init(rules: Rules) { self.rules = rules }

    /// An actor that is about to begin `operation`.
    ///
    /// For an operation of kind `hold` the caller has taken one reference on the folio that backs the first page
    /// (``FolioWorld/addReference(_:)``). An operation whose range is empty or does not lie within the file, or, for
    /// `gmem-custody`, a conversion of a part of a folio, has ended already with `-EINVAL`.
    public func start(_ operation: Operation, in world: some FolioWorld) -> Actor {
        var actor = Actor(step: firstStep(of: operation), remaining: operation.accesses)
        let (end, overflow) = operation.start.rawValue.addingReportingOverflow(operation.count)
        let isInside =
            operation.count > 0 && operation.count < UInt64(UInt32.max) && !overflow && end <= world.pageCount
        let stride = stride(of: operation, folio: world.pagesPerFolio)
        guard isInside, (operation.start.rawValue | operation.count) & (stride &- 1) == 0 else {
            actor.step = .done
            actor.result = .invalid
            actor.outcome = .failed
            actor.stop = 0
            return actor
        }
        if actor.step == .registerTakeLock { actor.afterLookup = .registerGuard }
        if operation.kind == .hold {
            actor.folio = world.cachedFolio(at: operation.start)
            actor.references = 1
        }
        return actor
    }

    /// Carries out the next step of `actor`, or says what it waits for and changes nothing.
    ///
    /// The actor was made by ``start(_:in:)`` for this operation and this world, and `id` is its alone.
    @inlinable
    public func step<World: FolioWorld>(
        _ actor: inout Actor,
        _ operation: Operation,
        id: ActorID,
        in world: inout World
    ) -> Transition {
        let step = actor.step
        switch step {
        case .lookupGet, .lookupLock, .lookupUnlockStale:
            return lookup(&actor, operation, id, &world)
        case .putDrop, .putDispatch, .callbackTakeLock, .callbackLockFolio, .callbackClearType,
            .callbackRestoreReferences, .callbackUnlockFolio, .callbackStoreGuest, .callbackReleaseLock,
            .completionResurrect, .completionEnqueue:
            return put(&actor, operation, id, &world)
        case .completerTake, .completerTakeLock, .completerLockFolio, .completerCheck, .completerStoreGuest,
            .completerClearType, .completerRestoreReferences, .completerUnlockFolio, .completerReleaseLock,
            .completerDequeue:
            return complete(&actor, operation, id, &world)
        case .clearTakeLock, .clearCheck, .clearStoreGuest, .clearUnfreeze, .clearStoreNone, .clearUnlockFolio,
            .clearReleaseLock:
            return clear(&actor, operation, id, &world)
        case .registerSelect, .registerTakeLock, .registerGuard, .registerSetType, .registerSubtract,
            .registerObserve, .registerFreeze, .registerSetTypeFrozen, .registerUnfreeze, .registerStoreGuest,
            .registerClearType, .registerRestoreReferences, .registerUnlockFolio, .registerReleaseLock,
            .registerReturn, .awaitHandover:
            return register(&actor, operation, id, &world)
        case .setTakeLock, .setLoad, .setCheckType, .setClearType, .setRestoreReferences, .setStoreAll,
            .setUnlockFolio, .setReleaseLock:
            return set(&actor, operation, id, &world)
        case .hostTouch, .faultTakeInvalidate, .faultTakeOffsets, .faultCheckPoison, .faultCheckMappable,
            .faultCheckType, .faultZero, .faultReleaseOffsets, .faultReleaseInvalidate, .faultMap,
            .faultUnlockFolio, .faultRefuseUnlockFolio, .unmapZap:
            return host(&actor, operation, id, &world)
        case .pinReadEntry, .pinTryGet, .pinRecheck, .pinAccess, .speculateLoad, .speculateTryGet:
            return refer(&actor, operation, id, &world)
        case .guestTouch, .guestTakeInvalidate, .guestReadSequence, .guestCheckPoison, .guestCheckMappable,
            .guestZero, .guestMap, .guestUnlockFolio, .guestReleaseInvalidate:
            return guest(&actor, operation, id, &world)
        case .punchTakeLock, .punchZapGuest, .punchTakeOffsets, .punchLoad, .punchCheckType, .punchClearType,
            .punchRestoreReferences, .punchUnlockFolio, .punchEraseState, .punchReleaseOffsets, .truncateUnmap,
            .truncateClearType, .truncateRestoreReferences, .truncateStoreGuest, .truncateRemove,
            .truncateDropReferences, .truncateUnlockFolio, .punchReleaseLock, .teardownDrain, .teardownDestroy:
            return truncate(&actor, operation, id, &world)
        case .poisonGet, .poisonMark, .poisonLockFolio, .poisonUnmap, .poisonTakeLock, .poisonZapGuest,
            .poisonReleaseLock, .poisonUnlockFolio:
            return poison(&actor, operation, id, &world)
        case .convertTakeLock, .convertCheckTarget, .convertUnmap, .convertGetFolio, .convertCheckMapped,
            .convertCheckCount, .convertZapGuest, .convertStore, .convertReleaseLock:
            return convert(&actor, operation, id, &world)
        case .done:
            return Transition(step: .done)
        }
    }

    /// Where an operation begins.
    func firstStep(of operation: Operation) -> Step {
        switch operation.kind {
        case .convertToPrivate, .requestPrivate: isInPlace ? .convertTakeLock : .clearTakeLock
        case .register: rules.registration.isSeparate ? .registerTakeLock : firstStep(of: Operation(.convertToPrivate))
        case .convertToShared: isInPlace ? .convertTakeLock : .setTakeLock
        case .hostAccess: .hostTouch
        case .hostUnmap: .unmapZap
        case .pin: .pinReadEntry
        case .speculate: .speculateLoad
        case .hold: .pinAccess
        case .guestAccess: .guestTouch
        case .punchHole: .punchTakeLock
        case .tearDown: .unmapZap
        case .poison: .poisonGet
        case .completer: .completerTake
        }
    }

    /// Whether a conversion is done in place, in one call that registers nothing.
    @inlinable
    public var isInPlace: Bool { rules.registration == .never }

    /// Whether a request for private memory and its registration are one critical section.
    @inlinable
    public var registersWithRequest: Bool { rules.registration == .withRequest }

    /// How many pages a conversion proceeds by.
    @inlinable
    func stride(of operation: Operation, folio pages: UInt64) -> UInt64 {
        registersWithRequest && operation.kind.isConversion ? pages : 1
    }
}
