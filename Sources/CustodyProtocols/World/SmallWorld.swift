/// A world of at most eight pages and six folios that is one trivial value: copied, compared and thrown away freely.
@frozen
public struct SmallWorld: FolioWorld, Sendable {
    /// The most pages a small world can have.
    public static let maximumPages = 8
    /// The most folios a small world can have.
    public static let maximumFolios = 6

    /// Size of the file, in pages.
    public let pageCount: UInt64
    /// Size of every folio, in pages.
    public let pagesPerFolio: UInt64
    /// How many folios there are, allocated or not.
    public let folioCount: Int
    /// The state of every page.
    public var pages: InlineArray<8, PageState>
    /// The number of the folio in the page cache and one, or zero, for every place a folio can have in the file.
    public var cache: InlineArray<8, UInt8>
    /// The state of every folio.
    public var folios: InlineArray<6, FolioState>
    /// The invalidate lock.
    public var invalidateLock: LockState
    /// The offsets lock.
    public var offsetsLock: LockState
    /// How many invalidations have ended.
    public var invalidateSequence: UInt8
    /// How many invalidations are under way.
    public var invalidationsInProgress: UInt8
    /// Whether the inode still exists.
    public var hasInode: Bool

    /// A file of `pages` pages (at most ``maximumPages``) without any memory, whose folios have `pagesPerFolio` pages,
    /// and `folios` folios that can be allocated (at most ``maximumFolios``). Values out of range are clamped.
    public init(pages: Int, pagesPerFolio: Int = 1, folios: Int? = nil) {
        var size = 1
        while size * 2 <= min(max(pagesPerFolio, 1), Self.maximumPages) { size *= 2 }
        let count = min(max(pages, size), Self.maximumPages) / size * size
        pageCount = UInt64(count)
        self.pagesPerFolio = UInt64(size)
        folioCount = min(max(folios ?? count / size, 1), Self.maximumFolios)
        self.pages = InlineArray(repeating: PageState())
        cache = InlineArray(repeating: 0)
        self.folios = InlineArray(repeating: FolioState())
        invalidateLock = LockState()
        offsetsLock = LockState()
        invalidateSequence = 0
        invalidationsInProgress = 0
        hasInode = true
    }

    /// Who may map a page, and who does; of a page outside the file, that of a new one.
    @inlinable
    public func page(_ offset: PageOffset) -> PageState {
        offset.rawValue < pageCount ? pages[Int(truncatingIfNeeded: offset.rawValue)] : PageState()
    }

    /// Replaces the state of a page; does nothing outside the file.
    @inlinable
    public mutating func setPage(_ offset: PageOffset, to state: PageState) {
        if offset.rawValue < pageCount { pages[Int(truncatingIfNeeded: offset.rawValue)] = state }
    }

    /// The place in the file that covers `offset`.
    @inlinable
    func place(_ offset: PageOffset) -> Int {
        Int(truncatingIfNeeded: offset.rawValue &>> UInt64(pagesPerFolio.trailingZeroBitCount))
    }

    /// The folio that the page cache holds for a page.
    @inlinable
    public func cachedFolio(at offset: PageOffset) -> FolioID? {
        guard offset.rawValue < pageCount else { return nil }
        let entry = cache[place(offset)]
        return entry == 0 ? nil : FolioID(UInt32(entry) &- 1)
    }

    /// Makes the page cache hold a folio, or nothing.
    @inlinable
    public mutating func setCachedFolio(_ folio: FolioID?, at offset: PageOffset) {
        guard offset.rawValue < pageCount else { return }
        cache[place(offset)] = folio.map { UInt8(truncatingIfNeeded: $0.rawValue &+ 1) } ?? 0
    }

    /// The state of a folio.
    @inlinable
    public func folio(_ id: FolioID) -> FolioState {
        id.rawValue < folioCount ? folios[Int(id.rawValue)] : FolioState()
    }

    /// Replaces the state of a folio.
    @inlinable
    public mutating func setFolio(_ id: FolioID, to state: FolioState) {
        if id.rawValue < folioCount { folios[Int(id.rawValue)] = state }
    }

    /// A folio that is not allocated and not in the page cache.
    /// A folio that is not allocated, or nil.
    @inlinable
    public func unusedFolio() -> FolioID? {
        for index in 0..<folioCount where folios[index].flags.isEmpty && folios[index].references == 0 {
            return FolioID(UInt32(index))
        }
        return nil
    }

    /// A folio that waits for the completer, one that is ready if there is one.
    @inlinable
    public func queuedFolio() -> FolioID? {
        var found: FolioID?
        for index in 0..<folioCount where folios[index].flags.contains(.queued) {
            if found == nil || folios[index].references > 0 { found = FolioID(UInt32(index)) }
        }
        return found
    }

    /// The state of a lock.
    @inlinable
    public func lock(_ lock: Lock) -> LockState { lock == .invalidate ? invalidateLock : offsetsLock }

    /// Replaces the state of a lock.
    @inlinable
    public mutating func setLock(_ lock: Lock, to state: LockState) {
        if lock == .invalidate { invalidateLock = state } else { offsetsLock = state }
    }
}
