/// A number from 0 to 3 for each page of a window, kept in one or two bit planes: one as long as no number exceeds 1.
@usableFromInline
struct PageCodes: Sendable {
    /// The number of pages.
    @usableFromInline let count: Int
    /// The low bits of all pages, then the high bits where some code has needed one.
    @usableFromInline var words: [UInt64]
    /// The number of runs of equal codes.
    @usableFromInline var runCount = 1

    /// `count` pages with code 0.
    @inlinable
    init(count: Int) {
        self.count = count
        words = Array(repeating: 0, count: (count + 63) / 64)
    }

    /// The number of words in a plane.
    @inlinable
    var stride: Int { (count + 63) / 64 }

    @inlinable
    var hasHighBits: Bool { words.count > stride }

    /// The code of a page.
    @inlinable
    subscript(page: Int) -> Int {
        let (word, bit) = (page >> 6, UInt64(page & 63))
        let low = (words[word] >> bit) & 1
        return Int(hasHighBits ? low | ((words[stride + word] >> bit) & 1) << 1 : low)
    }

    /// The first page after `page` that has another code than the page before it, or ``count``.
    @inlinable
    func end(ofRunAt page: Int) -> Int {
        var word = page >> 6
        var starts = runStarts(word) & (UInt64.max << UInt64((page & 63) + 1))
        while starts == 0 {
            word += 1
            guard word < stride else { return count }
            starts = runStarts(word)
        }
        return word << 6 + starts.trailingZeroBitCount
    }

    /// The first page of the run that `page` is in.
    @inlinable
    func start(ofRunAt page: Int) -> Int {
        var word = page >> 6
        var starts = runStarts(word) & (UInt64.max >> UInt64(63 - page & 63))
        while starts == 0 {
            guard word > 0 else { return 0 }
            word -= 1
            starts = runStarts(word)
        }
        return word << 6 + 63 - starts.leadingZeroBitCount
    }

    /// Gives pages a code.
    @inlinable
    mutating func set(_ pages: Range<Int>, to code: Int) {
        if code > 1, !hasHighBits { words.append(contentsOf: repeatElement(0, count: stride)) }
        let edges = pages.lowerBound..<min(count, pages.upperBound + 1)
        runCount -= runStartCount(edges)
        PageCodes.forEachWord(of: pages) { word, mask in
            words[word] = code & 1 == 0 ? words[word] & ~mask : words[word] | mask
            guard hasHighBits else { return }
            let high = stride + word
            words[high] = code & 2 == 0 ? words[high] & ~mask : words[high] | mask
        }
        runCount += runStartCount(edges)
    }

    /// The number of pages with one of the codes whose bits are set in `codes`.
    @inlinable
    func pageCount(in pages: Range<Int>, of codes: Int) -> UInt64 {
        var count = 0
        PageCodes.forEachWord(of: pages) { word, mask in count += (matches(word, codes) & mask).nonzeroBitCount }
        return UInt64(count)
    }

    /// The first page with one of the codes that has `skipped` others before it, which are counted down; `nil`, where
    /// there are not so many.
    @inlinable
    func firstPage(in pages: Range<Int>, of codes: Int, after skipped: inout UInt64) -> Int? {
        var found: Int?
        PageCodes.forEachWord(of: pages) { word, mask in
            guard found == nil else { return }
            var matching = matches(word, codes) & mask
            let count = UInt64(matching.nonzeroBitCount)
            guard count > skipped else {
                skipped -= count
                return
            }
            while skipped > 0 {
                matching &= matching - 1
                skipped -= 1
            }
            found = word << 6 + matching.trailingZeroBitCount
        }
        return found
    }

    /// The pages of a word that have another code than the page before them; never the first page of all.
    @inlinable
    func runStarts(_ word: Int) -> UInt64 {
        var starts = changes(word, in: 0)
        if hasHighBits { starts |= changes(word, in: stride) }
        return word + 1 == stride && count & 63 != 0 ? starts & (1 << UInt64(count & 63) - 1) : starts
    }

    @inlinable
    func changes(_ word: Int, in plane: Int) -> UInt64 {
        let bits = words[plane + word]
        let before = word > 0 ? words[plane + word - 1] >> 63 : bits & 1
        return bits ^ (bits << 1 | before)
    }

    @inlinable
    func runStartCount(_ pages: Range<Int>) -> Int {
        var count = 0
        PageCodes.forEachWord(of: pages) { word, mask in count += (runStarts(word) & mask).nonzeroBitCount }
        return count
    }

    @inlinable
    func matches(_ word: Int, _ codes: Int) -> UInt64 {
        let low = words[word]
        let high = hasHighBits ? words[stride + word] : 0
        var matching: UInt64 = 0
        if codes & 0b0001 != 0 { matching |= ~low & ~high }
        if codes & 0b0010 != 0 { matching |= low & ~high }
        if codes & 0b0100 != 0 { matching |= ~low & high }
        if codes & 0b1000 != 0 { matching |= low & high }
        return matching
    }

    /// Calls `body` with each word that has some of the pages, and with their bits in it.
    @inlinable
    static func forEachWord(of pages: Range<Int>, _ body: (Int, UInt64) -> Void) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let word = page >> 6
            let end = min(pages.upperBound, (word + 1) << 6)
            body(word, (UInt64.max >> UInt64(64 - (end - page))) << UInt64(page & 63))
            page = end
        }
    }
}
