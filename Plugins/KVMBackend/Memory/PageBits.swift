import CKVM
import Custody

/// One bit for each page, which any number of threads reads without writing to memory and one at a time changes.
///
/// The bits of a terabyte are 32 MiB of address space; memory is taken only where a bit has been set.
struct PageBits: ~Copyable, Sendable {
    private let map: MappedMemory
    private let bounds: PageRange

    /// All bits clear.
    init(bounds: PageRange, kernel: any Kernel) throws(KVMError) {
        self.bounds = bounds
        // Whole words, and one more where the division rounds. A child has a copy of its own.
        map = try MappedMemory(privateOfLength: (bounds.count / 64 + 1) * 8, kernel: kernel)
    }

    /// The bit of a page within the bounds.
    @inline(__always)
    func bit(at page: PageNumber) -> Bool {
        let index = page.rawValue &- bounds.start.rawValue
        guard let word = unsafe word(index / 64) else { return false }
        return unsafe ckvm_load_word(word) >> (index % 64) & 1 != 0
    }

    /// The number of pages from `page` on, at most `limit`, whose bits are the same as its own.
    ///
    /// - Complexity: O(*n* / 64) in the number of pages.
    func runLength(from page: PageNumber, limit: UInt64) -> UInt64 {
        let first = page.rawValue &- bounds.start.rawValue
        let inverted: UInt64 = bit(at: page) ? .max : 0
        var index = first
        while index < first &+ limit, let word = unsafe word(index / 64) {
            let different = unsafe (ckvm_load_word(word) ^ inverted) >> (index % 64)
            if different != 0 { return min(limit, index &- first &+ UInt64(different.trailingZeroBitCount)) }
            index = (index / 64 &+ 1) &* 64
        }
        return limit
    }

    /// Changes the bits of a range within the bounds.
    ///
    /// - Complexity: O(*n* / 64) in the number of pages.
    func set(_ range: PageRange, to bit: Bool) {
        var index = range.start.rawValue &- bounds.start.rawValue
        let end = index &+ range.count
        while index < end, let word = unsafe word(index / 64) {
            let count = min(64 &- index % 64, end &- index)
            let mask = (count == 64 ? UInt64.max : (1 << count) &- 1) << (index % 64)
            let old = unsafe ckvm_load_word(word)
            unsafe ckvm_store_word(word, bit ? old | mask : old & ~mask)
            index &+= count
        }
    }

    @inline(__always)
    private func word(_ index: UInt64) -> UnsafeMutablePointer<UInt64>? {
        unsafe UnsafeMutablePointer(bitPattern: map.address &+ UInt(truncatingIfNeeded: index &* 8))
    }
}
