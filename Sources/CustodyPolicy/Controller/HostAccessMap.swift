import Custody
import Synchronization

/// The pages that the host may touch now, for whoever does not hold the controller's lock.
///
/// RAM is cut into chunks of 128 MiB, each a word: all of its pages, none of them, or the address of a bitmap, which stays
/// where it is for the map's life. So a guest whose pages are alike costs kilobytes, and any other at most a bit a page.
/// It is written under the controller's lock. Without it a page may be called denied that is not; one that is called
/// allowed has been allowed since the asker began to ask, by the argument of ``AccessBoard``.
@safe final class HostAccessMap: Sendable {
    private typealias Bitmap = UnsafeMutablePointer<Atomic<UInt64>>

    /// The RAM of the layout, with the first chunk of each region.
    @unsafe private struct Region {
        let start: UInt64
        let end: UInt64
        let firstChunk: Int
    }

    private static let chunkPages: UInt64 = 1 << 15
    /// What lies beyond 128 TiB of RAM is never called allowed: it is asked for under the lock.
    private static let maximumChunks = 1 << 20
    private static let none: UInt = 0
    private static let all: UInt = 1

    // Sendable: neither pointers nor counts change after `init`, and what the pointers lead to is constant or atomic.
    private nonisolated(unsafe) let regions: UnsafeMutablePointer<Region>
    private let regionCount: Int
    // Sendable: as above.
    private nonisolated(unsafe) let chunks: UnsafeMutablePointer<Atomic<UInt>>
    // Sendable: as above; what it leads to is the writer's alone, under the controller's lock.
    private nonisolated(unsafe) let bitmaps: UnsafeMutablePointer<Bitmap?>
    private let chunkCount: Int
    /// Written under the controller's lock.
    private let isClosed = Atomic<Bool>(false)

    /// A map of a guest's pages, each in its ownership.
    init(_ ownership: PageRunMap<Ownership>, of layout: GuestMemoryLayout) {
        unsafe regions = .allocate(capacity: layout.regions.count)
        regionCount = layout.regions.count
        var next = 0
        for (index, region) in layout.regions.enumerated() {
            let needed = (region.count - 1) / Self.chunkPages + 1
            let count = Int(min(needed, UInt64(Self.maximumChunks - next)))
            let end = region.start.rawValue + min(region.count, UInt64(count) * Self.chunkPages)
            unsafe (regions + index).initialize(
                to: Region(start: region.start.rawValue, end: end, firstChunk: next)
            )
            next += count
        }
        chunkCount = next
        unsafe chunks = .allocate(capacity: next)
        unsafe bitmaps = .allocate(capacity: next)
        for index in 0..<next { unsafe (chunks + index).initialize(to: Atomic(Self.none)) }
        unsafe bitmaps.initialize(repeating: nil, count: next)
        for region in layout.regions {
            for run in ownership.runs(in: region) where run.state.allows(.host) { set(run.range, isAllowed: true) }
        }
    }

    deinit {
        for index in 0..<chunkCount {
            guard let bitmap = unsafe bitmaps[index] else { continue }
            unsafe bitmap.deinitialize(count: Self.words)
            unsafe bitmap.deallocate()
        }
        unsafe bitmaps.deallocate()
        unsafe chunks.deinitialize(count: chunkCount)
        unsafe chunks.deallocate()
        unsafe regions.deallocate()
    }

    private static var words: Int { Int(chunkPages / 64) }

    // MARK: Without the lock

    /// Whether the host may touch all of `range`; `false` may be wrong, and is for a range that is not all RAM.
    ///
    /// - Complexity: O(log *n* + *k*) in the number *n* of regions of RAM and *k* of pages; nothing is allocated.
    func allows(_ range: PageRange) -> Bool {
        let index = index(endingAfter: range.start.rawValue)
        guard index < regionCount else { return false }
        let region = unsafe regions[index]
        guard unsafe region.start <= range.start.rawValue, unsafe range.end <= region.end else { return false }
        var page = unsafe range.start.rawValue - region.start
        let end = unsafe range.end - region.start
        while page < end {
            let chunk = unsafe region.firstChunk + Int(page / Self.chunkPages)
            switch unsafe chunks[chunk].load(ordering: .sequentiallyConsistent) {
            case Self.none: return false
            case Self.all: page = (page / Self.chunkPages + 1) * Self.chunkPages
            case let address:
                guard let bitmap = unsafe Bitmap(bitPattern: address) else { return false }
                let next = min(end, (page / 64 + 1) * 64)
                let mask = Self.mask(page % 64, next - page)
                let word = Int(page % Self.chunkPages / 64)
                guard unsafe bitmap[word].load(ordering: .sequentiallyConsistent) & mask == mask else { return false }
                page = next
            }
        }
        return true
    }

    private static func mask(_ first: UInt64, _ count: UInt64) -> UInt64 {
        count == 64 ? .max : (1 << count - 1) << first
    }

    /// The index of the first region that ends after `page`.
    private func index(endingAfter page: UInt64) -> Int {
        var low = 0
        var high = regionCount
        while low < high {
            let middle = (low + high) / 2
            if unsafe regions[middle].end <= page { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Under the lock

    /// Allows the host the pages of RAM in `range`, or denies them.
    ///
    /// - Complexity: O(*k* / 64) in the number *k* of pages.
    func set(_ range: PageRange, isAllowed: Bool) {
        guard !isClosed.load(ordering: .relaxed) else { return }
        var index = index(endingAfter: range.start.rawValue)
        while index < regionCount, unsafe regions[index].start < range.end {
            let region = unsafe regions[index]
            var page = unsafe max(range.start.rawValue, region.start) - region.start
            let end = unsafe min(range.end, region.end) - region.start
            while page < end {
                let number = page / Self.chunkPages
                let next = min(end, (number + 1) * Self.chunkPages)
                let chunk = unsafe region.firstChunk + Int(number)
                if next - page == Self.chunkPages {
                    unsafe chunks[chunk].store(isAllowed ? Self.all : Self.none, ordering: .releasing)
                } else {
                    set(page % Self.chunkPages, next - page, of: chunk, isAllowed)
                }
                page = next
            }
            index += 1
        }
    }

    /// No page is called allowed any more.
    func close() {
        isClosed.store(true, ordering: .relaxed)
        for index in 0..<chunkCount { unsafe chunks[index].store(Self.none, ordering: .releasing) }
    }

    private func set(_ first: UInt64, _ count: UInt64, of chunk: Int, _ isAllowed: Bool) {
        let before = unsafe chunks[chunk].load(ordering: .relaxed)
        if before == (isAllowed ? Self.all : Self.none) { return }
        let bitmap = unsafe self.bitmap(of: chunk, before)
        var page = first
        while page < first + count {
            let next = min(first + count, (page / 64 + 1) * 64)
            let mask = Self.mask(page % 64, next - page)
            let word = Int(page / 64)
            let bits = unsafe bitmap[word].load(ordering: .relaxed)
            unsafe bitmap[word].store(isAllowed ? bits | mask : bits & ~mask, ordering: .releasing)
            page = next
        }
    }

    /// The bitmap of a chunk, which its word leads to from now on.
    @unsafe private func bitmap(of chunk: Int, _ before: UInt) -> Bitmap {
        let old = unsafe bitmaps[chunk]
        if before != Self.none, before != Self.all, let old = unsafe old { return unsafe old }
        let fill: UInt64 = before == Self.all ? .max : 0
        let bitmap: Bitmap
        if let old = unsafe old {
            unsafe bitmap = old
            for word in 0..<Self.words { unsafe bitmap[word].store(fill, ordering: .relaxed) }
        } else {
            unsafe bitmap = .allocate(capacity: Self.words)
            for word in 0..<Self.words { unsafe (bitmap + word).initialize(to: Atomic(fill)) }
            unsafe bitmaps[chunk] = bitmap
        }
        unsafe chunks[chunk].store(UInt(bitPattern: bitmap), ordering: .releasing)
        return unsafe bitmap
    }
}
