import Custody

/// The bytes of a guest, page by page as they are first written: a page that nobody wrote costs nothing and reads zero.
struct SparseMemory: Sendable {
    /// The bytes of one page.
    typealias Page = [UInt8]

    private var pages: [UInt64: Page] = [:]

    /// The bytes from `address` on. The range is known to lie in the address space.
    func read(_ count: Int, from address: GuestPhysicalAddress) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        SparseMemory.forEachPiece(address, count) { number, offset, _, count in
            if let page = pages[number] {
                bytes.append(contentsOf: page[offset..<(offset + count)])
            } else {
                bytes.append(contentsOf: repeatElement(0, count: count))
            }
        }
        return bytes
    }

    /// Stores `bytes` from `address` on. The range is known to lie in the address space.
    mutating func write(_ bytes: [UInt8], to address: GuestPhysicalAddress) {
        SparseMemory.forEachPiece(address, bytes.count) { number, offset, position, count in
            pages[number, default: Page(repeating: 0, count: Int(PageSize.base.bytes))]
                .replaceSubrange(offset..<(offset + count), with: bytes[position..<(position + count)])
        }
    }

    /// Takes the pages of `range` out; they read zero afterwards.
    ///
    /// - Complexity: O(min(*n*, *m*)) for a range of *n* pages and *m* pages that were ever written.
    mutating func take(_ range: PageRange) -> [UInt64: Page] {
        if pages.isEmpty { return [:] }
        var taken: [UInt64: Page] = [:]
        if range.count <= UInt64(pages.count) {
            for number in range.start.rawValue..<range.end {
                if let page = pages.removeValue(forKey: number) { taken[number] = page }
            }
        } else {
            for number in pages.keys.filter({ range.contains(PageNumber($0)) }) {
                taken[number] = pages.removeValue(forKey: number)
            }
        }
        return taken
    }

    /// Puts pages back that were taken out; whatever stands in their place goes.
    mutating func put(_ range: PageRange, _ taken: [UInt64: Page]) {
        _ = take(range)
        pages.merge(taken) { $1 }
    }

    private static func forEachPiece(
        _ address: GuestPhysicalAddress,
        _ byteCount: Int,
        _ body: (UInt64, Int, Int, Int) -> Void
    ) {
        let size = Int(PageSize.base.bytes)
        var position = 0
        var number = address.page.rawValue
        var offset = Int(address.offsetInPage)
        while position < byteCount {
            let count = min(byteCount - position, size - offset)
            body(number, offset, position, count)
            position += count
            number += 1
            offset = 0
        }
    }
}
