/// What the kernel keeps for one folio: its counters, its type, its lock and its place.
@frozen
public struct FolioState: Hashable, Sendable {
    /// References: one a page for the page cache, one a host mapping, and one for everybody else who holds it.
    public var references: Int32
    /// Host page-table entries that map a page of the folio.
    public var mappings: UInt16
    /// Who holds the folio lock: the actor's number and one, or zero.
    public var lockOwner: UInt8
    /// Page type, flags and place.
    public var flags: Flags
    /// The first page of the file that the folio backs, or last backed.
    public var index: PageOffset

    /// One-bit facts of a folio.
    @frozen
    public struct Flags: OptionSet, Hashable, Sendable {
        /// The bits.
        public var rawValue: UInt8
        /// The flags with bits `rawValue`.
        @inlinable
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The folio is allocated: it was not freed, or was allocated again.
        public static let allocated = Flags(rawValue: 1 << 0)
        /// The page cache of the file holds the folio (`folio->mapping` is set).
        public static let cached = Flags(rawValue: 1 << 1)
        /// The folio has type `PGTY_guestmem`: its final put calls guest_memfd instead of freeing it.
        public static let guestmem = Flags(rawValue: 1 << 2)
        /// The folio was zeroed and may be shown to somebody (`PG_uptodate`).
        public static let upToDate = Flags(rawValue: 1 << 3)
        /// The hardware reported the memory broken (`PG_hwpoison`).
        public static let poisoned = Flags(rawValue: 1 << 4)
        /// A completion of the hand-over waits for the completer (`gmem-custody` only).
        public static let queued = Flags(rawValue: 1 << 5)
    }

    /// A folio that is not allocated.
    @inlinable
    public init(
        references: Int32 = 0,
        mappings: UInt16 = 0,
        lockOwner: UInt8 = 0,
        flags: Flags = [],
        index: PageOffset = PageOffset(0)
    ) {
        self.references = references
        self.mappings = mappings
        self.lockOwner = lockOwner
        self.flags = flags
        self.index = index
    }
}
