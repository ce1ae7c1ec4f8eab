/// The memory that the step machines work on: one guest_memfd file, its folios, its page tables and its locks.
///
/// A protocol, so that the checker can keep it in a few machine words and the simulation in a sparse store; both run
/// the same machines on it. Every requirement is a single read or write of a trivial value, by index, and O(1) unless
/// it says otherwise. A world is asked only about pages less than ``pageCount`` and folios that it named itself.
public protocol FolioWorld {
    /// What a step sees of a page: ``PageState``, or a view that notes which fields are read and written.
    associatedtype Page: PageFields = PageState

    /// What a step sees of a folio: ``FolioState``, or a view that notes which fields are read and written.
    associatedtype Folio: FolioFields = FolioState

    /// Size of the file, in pages.
    var pageCount: UInt64 { get }

    /// Size of every folio, in pages: 1 to 512, a power of two.
    var pagesPerFolio: UInt64 { get }

    /// Who may map a page of the file, and who does.
    func page(_ offset: PageOffset) -> Page

    /// Replaces what `page(_:)` returns for one page.
    mutating func setPage(_ offset: PageOffset, to state: Page)

    /// The folio that the page cache holds for a page, or nil if there is none.
    func cachedFolio(at offset: PageOffset) -> FolioID?

    /// Makes the page cache hold `folio`, or nothing, for all pages that a folio at `offset` covers.
    ///
    /// `offset` is a multiple of ``pagesPerFolio``.
    mutating func setCachedFolio(_ folio: FolioID?, at offset: PageOffset)

    /// The state of a folio.
    func folio(_ id: FolioID) -> Folio

    /// Replaces the state of a folio.
    mutating func setFolio(_ id: FolioID, to state: Folio)

    /// A folio that is not allocated and to which nobody refers, or nil if memory is exhausted. Changes nothing.
    func unusedFolio() -> FolioID?

    /// A folio whose flags contain `queued`, or nil if there is none; one with a reference, if there is one: the others
    /// are not ready yet. May be linear in the number of queued folios.
    func queuedFolio() -> FolioID?

    /// The state of a lock.
    func lock(_ lock: Lock) -> LockState

    /// Replaces the state of a lock.
    mutating func setLock(_ lock: Lock, to state: LockState)

    /// Whether `actor` holds `lock` in any way. Has a default.
    func isHeld(_ lock: Lock, by actor: ActorID) -> Bool

    /// Whether `actor` holds `lock` exclusively. Has a default.
    func isHeldExclusively(_ lock: Lock, by actor: ActorID) -> Bool

    /// Whether somebody holds `lock` exclusively. Has a default.
    func isHeldExclusively(_ lock: Lock) -> Bool

    /// Whether somebody holds `lock` shared. Has a default.
    func isHeldShared(_ lock: Lock) -> Bool

    /// Gives `lock`, which is free for it, to `actor`. Has a default.
    mutating func acquire(_ lock: Lock, exclusively: Bool, for actor: ActorID)

    /// Takes `lock` from `actor`, who holds it. Has a default.
    mutating func release(_ lock: Lock, of actor: ActorID)

    /// How many invalidations of the guest's page tables have ended (`mmu_invalidate_seq`); may wrap.
    var invalidateSequence: UInt8 { get set }

    /// How many invalidations of the guest's page tables are under way (`mmu_invalidate_in_progress`).
    var invalidationsInProgress: UInt8 { get set }

    /// Whether the inode still exists; once false it stays so.
    var hasInode: Bool { get set }
}
