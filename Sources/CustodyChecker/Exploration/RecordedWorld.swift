import CustodyProtocols

/// A small world that notes what is read and written.
struct RecordedWorld: ExploredWorld {
    var small: SmallWorld
    private let log: AccessLog

    init(_ small: SmallWorld, _ log: AccessLog) {
        self.small = small
        self.log = log
    }

    var pageCount: UInt64 { small.pageCount }
    var pagesPerFolio: UInt64 { small.pagesPerFolio }

    func observe(_ hold: Accesses.Hold) { log.accesses.reads |= Accesses.hold(hold) }

    func page(_ offset: PageOffset) -> RecordedPage { RecordedPage(small.page(offset), offset, log) }

    mutating func setPage(_ offset: PageOffset, to page: RecordedPage) {
        log.accesses.writes |= page.written
        small.setPage(offset, to: page.state)
    }

    func cachedFolio(at offset: PageOffset) -> FolioID? {
        log.accesses.reads |= Accesses.place(place(offset))
        return small.cachedFolio(at: offset)
    }

    mutating func setCachedFolio(_ folio: FolioID?, at offset: PageOffset) {
        log.accesses.writes |= Accesses.place(place(offset))
        small.setCachedFolio(folio, at: offset)
    }

    private func place(_ offset: PageOffset) -> Int {
        Int(truncatingIfNeeded: offset.rawValue &>> UInt64(pagesPerFolio.trailingZeroBitCount))
    }

    func folio(_ id: FolioID) -> RecordedFolio { RecordedFolio(small.folio(id), id, log) }

    mutating func setFolio(_ id: FolioID, to folio: RecordedFolio) {
        log.accesses.writes |= folio.written
        small.setFolio(id, to: folio.state)
    }

    func unusedFolio() -> FolioID? {
        // It looks at all of them.
        for index in 0..<small.folioCount {
            let id = FolioID(UInt32(index))
            log.accesses.reads |= Accesses.folio(id, .all) | Accesses.folio(id, .references)
        }
        return small.unusedFolio()
    }

    func queuedFolio() -> FolioID? {
        for index in 0..<small.folioCount {
            let id = FolioID(UInt32(index))
            log.accesses.reads |= Accesses.folio(id, .queued)
            if small.folio(id).has(.queued) { log.accesses.reads |= Accesses.folio(id, .references) }
        }
        return small.queuedFolio()
    }

    // MARK: Locks

    /// The whole of a lock: no step asks for it.
    func lock(_ lock: Lock) -> LockState {
        log.accesses.reads |= Accesses.locks
        return small.lock(lock)
    }

    mutating func setLock(_ lock: Lock, to state: LockState) {
        log.accesses.writes |= Accesses.locks
        small.setLock(lock, to: state)
    }

    /// Its own hold: nobody else changes that.
    func isHeld(_ lock: Lock, by actor: ActorID) -> Bool { small.isHeld(lock, by: actor) }

    /// Its own hold: nobody else changes that.
    func isHeldExclusively(_ lock: Lock, by actor: ActorID) -> Bool { small.isHeldExclusively(lock, by: actor) }

    func isHeldExclusively(_ lock: Lock) -> Bool {
        log.accesses.reads |= Accesses.hold(lock == .invalidate ? .invalidateWriter : .offsetsWriter)
        return small.isHeldExclusively(lock)
    }

    func isHeldShared(_ lock: Lock) -> Bool {
        log.accesses.reads |= Accesses.hold(lock == .invalidate ? .invalidateReader : .offsetsReader)
        return small.isHeldShared(lock)
    }

    mutating func acquire(_ lock: Lock, exclusively: Bool, for actor: ActorID) {
        let before = small.holds(of: actor)
        small.acquire(lock, exclusively: exclusively, for: actor)
        log.accesses.writes |= before ^ small.holds(of: actor)
    }

    mutating func release(_ lock: Lock, of actor: ActorID) {
        let before = small.holds(of: actor)
        small.release(lock, of: actor)
        log.accesses.writes |= before ^ small.holds(of: actor)
    }

    // MARK: The file

    var invalidateSequence: UInt8 {
        get {
            log.accesses.reads |= Accesses.file(.invalidateSequence)
            return small.invalidateSequence
        }
        set {
            log.accesses.writes |= Accesses.file(.invalidateSequence)
            small.invalidateSequence = newValue
        }
    }

    var invalidationsInProgress: UInt8 {
        get {
            log.accesses.reads |= Accesses.file(.invalidationsInProgress)
            return small.invalidationsInProgress
        }
        set {
            log.accesses.writes |= Accesses.file(.invalidationsInProgress)
            small.invalidationsInProgress = newValue
        }
    }

    var hasInode: Bool {
        get {
            log.accesses.reads |= Accesses.file(.hasInode)
            return small.hasInode
        }
        set {
            log.accesses.writes |= Accesses.file(.hasInode)
            small.hasInode = newValue
        }
    }
}

extension SmallWorld {
    /// The locks that `actor` holds.
    func holds(of actor: ActorID) -> UInt128 {
        var holds: UInt128 = 0
        if invalidateLock.writer == actor.owner { holds |= Accesses.hold(.invalidateWriter) }
        if invalidateLock.readers & actor.bit != 0 { holds |= Accesses.hold(.invalidateReader) }
        if offsetsLock.writer == actor.owner { holds |= Accesses.hold(.offsetsWriter) }
        if offsetsLock.readers & actor.bit != 0 { holds |= Accesses.hold(.offsetsReader) }
        for index in 0..<folioCount where folios[index].lockOwner == actor.owner {
            holds |= Accesses.hold(.folioLock, folio: FolioID(UInt32(index)))
        }
        return holds
    }

    /// The same world with the lock behind a hold in the hands of `actor`.
    func held(_ hold: UInt128, by actor: ActorID) -> SmallWorld {
        var world = self
        switch hold {
        case Accesses.hold(.invalidateWriter): world.invalidateLock.writer = actor.owner
        case Accesses.hold(.invalidateReader): world.invalidateLock.readers |= actor.bit
        case Accesses.hold(.offsetsWriter): world.offsetsLock.writer = actor.owner
        case Accesses.hold(.offsetsReader): world.offsetsLock.readers |= actor.bit
        default:
            for index in 0..<folioCount where hold == Accesses.hold(.folioLock, folio: FolioID(UInt32(index))) {
                world.folios[index].lockOwner = actor.owner
            }
        }
        return world
    }
}
