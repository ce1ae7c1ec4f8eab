/// A run of base pages: never empty, never beyond the 64-bit address space.
///
/// Both facts hold by construction, so no code that is handed a range has to check them.
public struct PageRange: Sendable, Hashable {
    /// The first page.
    public let start: PageNumber
    /// The number of pages, at least 1.
    public let count: UInt64

    /// A run of `count` pages from `start`.
    ///
    /// - Throws: ``RangeError/empty`` for no page, ``RangeError/wraps`` where the last page is beyond ``PageNumber/last``.
    public init(start: PageNumber, count: UInt64) throws(RangeError) {
        guard count > 0 else { throw .empty }
        let (last, overflow) = start.rawValue.addingReportingOverflow(count - 1)
        guard !overflow, last <= PageNumber.last.rawValue else { throw .wraps }
        self.init(uncheckedStart: start.rawValue, count: count)
    }

    /// The pages from `address` on, `byteCount` bytes of them.
    ///
    /// - Throws: ``RangeError/misaligned(granularity:)`` unless both numbers are multiples of the base page size,
    ///   ``RangeError/empty`` or ``RangeError/wraps``.
    public init(address: GuestPhysicalAddress, byteCount: UInt64) throws(RangeError) {
        let size = PageSize.base
        guard address.isAligned(to: size), byteCount % size.bytes == 0 else { throw .misaligned(granularity: size) }
        try self.init(start: address.page, count: byteCount / size.bytes)
    }

    /// The pages that the bytes from `address` on touch, `byteCount` of them: neither number need be aligned.
    ///
    /// - Throws: ``RangeError/empty`` or ``RangeError/wraps``.
    public init(touching address: GuestPhysicalAddress, byteCount: UInt64) throws(RangeError) {
        guard byteCount > 0 else { throw .empty }
        guard let last = address.advanced(by: byteCount - 1) else { throw .wraps }
        self.init(uncheckedStart: address.page.rawValue, count: last.page.rawValue - address.page.rawValue + 1)
    }

    /// One page.
    ///
    /// - Throws: ``RangeError/wraps`` where the page is beyond ``PageNumber/last``.
    public init(_ page: PageNumber) throws(RangeError) { try self.init(start: page, count: 1) }

    /// The caller vouches for `count > 0` and a last page within the address space.
    @usableFromInline
    package init(uncheckedStart start: UInt64, count: UInt64) {
        self.start = PageNumber(start)
        self.count = count
    }

    /// The last page.
    @inlinable
    public var last: PageNumber { PageNumber(start.rawValue + (count - 1)) }

    /// The number of the first page after the range.
    @inlinable
    public var end: UInt64 { start.rawValue + count }

    /// The length in bytes; the whole address space, 2⁶⁴ bytes, is reported as `UInt64.max`.
    public var byteCount: UInt64 {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: PageSize.base.bytes)
        return overflow ? .max : bytes
    }

    /// The address of the first byte.
    public var address: GuestPhysicalAddress { start.address }

    /// Whether `page` is in the range.
    @inlinable
    public func contains(_ page: PageNumber) -> Bool { page >= start && page.rawValue < end }

    /// Whether all of `other` is in the range.
    @inlinable
    public func contains(_ other: PageRange) -> Bool { other.start >= start && other.end <= end }

    /// Whether the ranges have a page in common.
    @inlinable
    public func overlaps(_ other: PageRange) -> Bool { other.start.rawValue < end && start.rawValue < other.end }

    /// The pages in both ranges, or `nil` where there is none.
    @inlinable
    public func intersection(_ other: PageRange) -> PageRange? {
        let low = max(start.rawValue, other.start.rawValue)
        let high = min(end, other.end)
        return low < high ? PageRange(uncheckedStart: low, count: high - low) : nil
    }

    /// The part of the range before `page`, or `nil` where there is none.
    @inlinable
    public func prefix(before page: PageNumber) -> PageRange? {
        let high = min(end, page.rawValue)
        return high > start.rawValue
            ? PageRange(uncheckedStart: start.rawValue, count: high - start.rawValue) : nil
    }

    /// The part of the range from `page` on, or `nil` where there is none.
    @inlinable
    public func suffix(from page: PageNumber) -> PageRange? {
        let low = max(start.rawValue, page.rawValue)
        return low < end ? PageRange(uncheckedStart: low, count: end - low) : nil
    }

    /// At most so many leading pages, at least one: cut at the last 1 GiB or else 2 MiB boundary where there is one, so
    /// that what remains can still be changed in large pages.
    public func leading(atMost pages: UInt64) -> PageRange {
        guard pages < count else { return self }
        let end = start.rawValue + max(1, pages)
        for size in [PageSize.huge, .large] {
            let boundary = end - end % size.pages
            if boundary > start.rawValue {
                return PageRange(uncheckedStart: start.rawValue, count: boundary - start.rawValue)
            }
        }
        return PageRange(uncheckedStart: start.rawValue, count: end - start.rawValue)
    }

    /// The largest aligned pieces of the range, from low to high: base pages up to a 2 MiB boundary, large pages up to a
    /// 1 GiB boundary, huge pages, and the same down again. At most five.
    public var alignedPieces: [(range: PageRange, size: PageSize)] {
        var pieces: [(range: PageRange, size: PageSize)] = []
        split(into: .huge, &pieces)
        return pieces
    }

    private func split(into size: PageSize, _ pieces: inout [(range: PageRange, size: PageSize)]) {
        let smaller: PageSize
        switch size {
        case .base: return pieces.append((self, size))
        case .large: smaller = .base
        case .huge: smaller = .large
        }
        let low = (start.rawValue + (size.pages - 1)) / size.pages * size.pages
        let high = end / size.pages * size.pages
        guard low < high else { return split(into: smaller, &pieces) }
        prefix(before: PageNumber(low))?.split(into: smaller, &pieces)
        pieces.append((PageRange(uncheckedStart: low, count: high - low), size))
        suffix(from: PageNumber(high))?.split(into: smaller, &pieces)
    }

    /// This range and the one that begins where it ends.
    package func joined(with next: PageRange) -> PageRange {
        PageRange(uncheckedStart: start.rawValue, count: count + next.count)
    }

    /// Whether both ends of the range lie on a boundary of `size`.
    public func isAligned(to size: PageSize) -> Bool {
        start.rawValue % size.pages == 0 && count % size.pages == 0
    }
}

extension PageRange: CustomStringConvertible {
    /// First address, inclusive last address and size, for example `0x200000-0x201fff (8 KiB)`.
    public var description: String {
        let lastByte = last.address.rawValue + (PageSize.base.bytes - 1)
        return "\(address)-0x\(String(lastByte, radix: 16)) (\(ByteCount.text(ofPages: count)))"
    }
}
