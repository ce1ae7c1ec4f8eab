import Custody
import CustodyProtocols

/// The file of a simulated guest: what the step machines see of a terabyte costs what was touched of it.
///
/// A page that nobody touched is in a run of pages of the same mappability; only a page that somebody maps or has
/// written has an entry of its own.
struct SparseWorld: FolioWorld {
    let pageCount: UInt64
    let pagesPerFolio: UInt64
    /// The most folios that may be allocated at a time.
    var folioLimit: Int

    /// The bytes of each folio; none where nobody has written.
    private(set) var contents: [[UInt8]] = []

    private var mappability: PageRunMap<Mappability>
    private var pages: [UInt64: PageState] = [:]
    private var cache: [UInt64: FolioID] = [:]
    private var folios: [FolioState] = []
    private var unused: [FolioID] = []
    private var queued: [FolioID] = []
    private var invalidateLock = LockState()
    private var offsetsLock = LockState()
    var invalidateSequence: UInt8 = 0
    var invalidationsInProgress: UInt8 = 0
    var hasInode = true

    init(mappability: PageRunMap<Mappability>, pagesPerFolio: UInt64, folioLimit: Int) {
        pageCount = mappability.bounds.count
        self.pagesPerFolio = pagesPerFolio
        self.folioLimit = folioLimit
        self.mappability = mappability
    }

    /// The number of folios that are allocated.
    var folioCount: Int { folios.count - unused.count }

    /// Whether all pages from `first` on, `count` of them, are in one state of mappability.
    func isUniform(_ first: UInt64, _ count: UInt64, _ state: Mappability) -> Bool {
        if pages.isEmpty { return mappability.isUniform(PageRange(uncheckedStart: first, count: count), state) }
        return (first..<(first + count)).allSatisfy { page(PageOffset($0)).mappability == state }
    }

    func page(_ offset: PageOffset) -> PageState {
        if !pages.isEmpty, let state = pages[offset.rawValue] { return state }
        return PageState(mappability: mappability[PageNumber(offset.rawValue)] ?? .all)
    }

    mutating func setPage(_ offset: PageOffset, to state: PageState) {
        let number = PageNumber(offset.rawValue)
        guard mappability.bounds.contains(number) else { return }
        // An entry of its own stays one while somebody maps the page; a plain page is part of a run.
        if state == PageState(mappability: state.mappability) {
            if !pages.isEmpty { pages.removeValue(forKey: offset.rawValue) }
            mappability.set(PageRange(uncheckedStart: offset.rawValue, count: 1), to: state.mappability)
        } else {
            pages[offset.rawValue] = state
        }
    }

    func cachedFolio(at offset: PageOffset) -> FolioID? {
        cache.isEmpty ? nil : cache[offset.rawValue / pagesPerFolio]
    }

    mutating func setCachedFolio(_ folio: FolioID?, at offset: PageOffset) {
        cache[offset.rawValue / pagesPerFolio] = folio
    }

    func folio(_ id: FolioID) -> FolioState {
        id.rawValue < folios.count ? folios[Int(id.rawValue)] : FolioState()
    }

    mutating func setFolio(_ id: FolioID, to state: FolioState) {
        let index = Int(id.rawValue)
        if index == folios.count {
            folios.append(FolioState())
            contents.append([])
            unused.append(id)
        }
        guard index < folios.count else { return }
        let before = folios[index]
        folios[index] = state
        if SparseWorld.isUnused(before) != SparseWorld.isUnused(state) {
            if SparseWorld.isUnused(state) {
                unused.append(id)
                contents[index] = []
            } else if unused.last == id {
                unused.removeLast()
            } else {
                unused.removeAll { $0 == id }
            }
        }
        if before.flags.contains(.queued) != state.flags.contains(.queued) {
            if state.flags.contains(.queued) { queued.append(id) } else { queued.removeAll { $0 == id } }
        }
    }

    func unusedFolio() -> FolioID? {
        guard folioCount < folioLimit else { return nil }
        return unused.last ?? FolioID(UInt32(folios.count))
    }

    func queuedFolio() -> FolioID? { queued.first { folio($0).references > 0 } ?? queued.first }

    func lock(_ lock: Lock) -> LockState { lock == .invalidate ? invalidateLock : offsetsLock }

    mutating func setLock(_ lock: Lock, to state: LockState) {
        if lock == .invalidate { invalidateLock = state } else { offsetsLock = state }
    }

    private static func isUnused(_ state: FolioState) -> Bool { state.flags.isEmpty && state.references == 0 }
}

// MARK: Bytes

extension SparseWorld {
    /// The bytes of a page's folio from `offset` in the page on; zeroes where nobody has written.
    func bytes(of page: PageOffset, _ offset: Int, _ count: Int) -> [UInt8] {
        guard let folio = cachedFolio(at: page) else { return [UInt8](repeating: 0, count: count) }
        let bytes = contents[Int(folio.rawValue)]
        guard !bytes.isEmpty else { return [UInt8](repeating: 0, count: count) }
        let start = place(of: page) + offset
        return Array(bytes[start..<(start + count)])
    }

    /// Stores bytes in a page's folio; does nothing for a page without one.
    mutating func store(_ bytes: ArraySlice<UInt8>, in page: PageOffset, _ offset: Int) {
        guard let folio = cachedFolio(at: page) else { return }
        store(bytes, in: folio, at: place(of: page) + offset)
    }

    /// Stores bytes in a folio, also in one that is not in the file any more.
    mutating func store(_ bytes: ArraySlice<UInt8>, in folio: FolioID, at offset: Int) {
        let index = Int(folio.rawValue)
        if contents[index].isEmpty {
            contents[index] = [UInt8](repeating: 0, count: Int(pagesPerFolio * PageSize.base.bytes))
        }
        contents[index].replaceSubrange(offset..<(offset + bytes.count), with: bytes)
    }

    /// The bytes of the whole page where somebody has written some, else nothing.
    func written(_ page: PageOffset) -> [UInt8]? {
        guard let folio = cachedFolio(at: page), !contents[Int(folio.rawValue)].isEmpty else { return nil }
        return bytes(of: page, 0, Int(PageSize.base.bytes))
    }

    /// Where the page lies in its folio, in bytes.
    private func place(of page: PageOffset) -> Int {
        Int(page.rawValue % pagesPerFolio) * Int(PageSize.base.bytes)
    }
}
