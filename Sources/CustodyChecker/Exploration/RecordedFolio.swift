import CustodyProtocols

/// A folio that notes which of its fields are read and written.
struct RecordedFolio: FolioFields {
    private(set) var state: FolioState
    private(set) var written: UInt128 = 0
    private let id: FolioID
    private let log: AccessLog

    init(_ state: FolioState, _ id: FolioID, _ log: AccessLog) {
        self.state = state
        self.id = id
        self.log = log
    }

    var references: Int32 {
        get {
            log.accesses.reads |= Accesses.folio(id, .references)
            return state.references
        }
        set {
            written |= Accesses.folio(id, .references)
            state.references = newValue
        }
    }

    var mappings: UInt16 {
        get {
            log.accesses.reads |= Accesses.folio(id, .mappings)
            return state.mappings
        }
        set {
            written |= Accesses.folio(id, .mappings)
            state.mappings = newValue
        }
    }

    var index: PageOffset {
        get {
            log.accesses.reads |= Accesses.folio(id, .index)
            return state.index
        }
        set {
            written |= Accesses.folio(id, .index)
            state.index = newValue
        }
    }

    var isLocked: Bool {
        log.accesses.reads |= Accesses.hold(.folioLock, folio: id)
        return state.isLocked
    }

    func has(_ flags: FolioState.Flags) -> Bool {
        log.accesses.reads |= Accesses.folio(id, flags)
        return state.has(flags)
    }

    mutating func insert(_ flags: FolioState.Flags) {
        written |= Accesses.folio(id, flags)
        state.insert(flags)
    }

    mutating func remove(_ flags: FolioState.Flags) {
        written |= Accesses.folio(id, flags)
        state.remove(flags)
    }

    /// Its own hold: nobody else changes that.
    func isLocked(by actor: ActorID) -> Bool { state.isLocked(by: actor) }

    mutating func lock(for actor: ActorID) {
        written |= Accesses.hold(.folioLock, folio: id)
        // A folio that was freed under its lock and is allocated again: the hold of another ends, which nothing expects.
        if state.isLocked, !state.isLocked(by: actor) { written |= Accesses.everything }
        state.lock(for: actor)
    }

    mutating func unlock() {
        written |= Accesses.hold(.folioLock, folio: id)
        state.unlock()
    }
}
