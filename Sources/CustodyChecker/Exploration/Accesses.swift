import CustodyProtocols

/// What one step reads and writes of a state, as others see it: one bit for every field that it can touch.
///
/// A bit names a field of the world, or a *hold*: a lock, a reference or a touch that an actor has or has not. An actor
/// writes its own hold only, and reads the holds of all others at once: so two writes of a hold never concern the same
/// one.
struct Accesses: Hashable {
    /// The fields that are read, and the holds of others that are looked at.
    var reads: UInt128 = 0
    /// The fields that are written, and the holds of the actor's own that change.
    var writes: UInt128 = 0

    /// Adds what `other` reads and writes.
    @inline(__always)
    mutating func formUnion(_ other: Accesses) {
        reads |= other.reads
        writes |= other.writes
    }

    /// Whether the order of two steps of different actors can matter: one writes what the other reads or writes.
    @inline(__always)
    func conflicts(with other: Accesses) -> Bool {
        (writes & other.reads) | (reads & other.writes) | (writes & other.writes & ~Accesses.holds) != 0
    }

    /// A field of a page.
    enum PageField: Int { case mappability, isGuestMapped, hostMappings }

    /// A field of a folio.
    enum FolioField: Int { case references, mappings, index }

    /// A field of the file.
    enum FileField: Int { case invalidateSequence, invalidationsInProgress, hasInode }

    /// What an actor has or has not.
    enum Hold: Int {
        /// A lock of the file.
        case invalidateWriter, invalidateReader, offsetsWriter, offsetsReader
        /// References on a folio.
        case references
        /// A pin through which it may touch a folio.
        case touch
        /// The lock of the first folio; those of the others follow.
        case folioLock
    }

    /// The bit of a field of a page: 3 for each of 8 pages.
    @inline(__always)
    static func page(_ offset: PageOffset, _ field: PageField) -> UInt128 {
        1 &<< UInt128(truncatingIfNeeded: (Int(truncatingIfNeeded: offset.rawValue) & 7) &* 3 &+ field.rawValue)
    }

    /// The bit of a place in the page cache.
    @inline(__always)
    static func place(_ place: Int) -> UInt128 { 1 &<< UInt128(truncatingIfNeeded: 24 &+ (place & 7)) }

    /// The bit of a field of a folio: 3 for each of 6 folios.
    @inline(__always)
    static func folio(_ id: FolioID, _ field: FolioField) -> UInt128 {
        1 &<< UInt128(truncatingIfNeeded: 32 &+ Int(id.rawValue) &* 3 &+ field.rawValue)
    }

    /// The bits of flags of a folio: 6 for each of 6 folios.
    @inline(__always)
    static func folio(_ id: FolioID, _ flags: FolioState.Flags) -> UInt128 {
        UInt128(flags.rawValue & FolioState.Flags.all.rawValue)
            &<< UInt128(
                truncatingIfNeeded: 50 &+ Int(id.rawValue) &* 6
            )
    }

    /// The bit of a field of the file.
    @inline(__always)
    static func file(_ field: FileField) -> UInt128 { 1 &<< UInt128(truncatingIfNeeded: 86 &+ field.rawValue) }

    /// The bit of a hold.
    @inline(__always)
    static func hold(_ hold: Hold, folio: FolioID = FolioID(0)) -> UInt128 {
        1 &<< UInt128(truncatingIfNeeded: 96 &+ hold.rawValue &+ Int(folio.rawValue))
    }

    /// Every field.
    static let everything = UInt128.max

    /// The bits of all holds.
    static let holds: UInt128 = 0xFFFF &<< 96

    /// The bits of all locks.
    static let locks: UInt128 = holds & ~(hold(.references) | hold(.touch))
}

extension Accesses {
    /// Forgets what tests make the reduction overlook.
    mutating func overlook(_ blindness: Blindness) {
        var kept = Accesses.everything
        for index in 0..<8 {
            let (page, folio) = (PageOffset(UInt64(index)), FolioID(UInt32(index % SmallWorld.maximumFolios)))
            switch blindness {
            case .mappability: kept &= ~Accesses.page(page, .mappability)
            case .hostMappings: kept &= ~Accesses.page(page, .hostMappings)
            case .references: kept &= ~Accesses.folio(folio, .references)
            case .pageCache: kept &= ~Accesses.place(index)
            case .locks: kept &= ~Accesses.locks
            case .nothing, .futures: break
            }
        }
        reads &= kept
        writes &= kept
    }
}
