/// The number of a base page in the guest's physical address space: what KVM calls a *gfn*.
public struct PageNumber: RawRepresentable, Sendable, Hashable, Comparable, Codable {
    /// The largest page number whose last byte still has a 64-bit address.
    public static let last = PageNumber(UInt64.max / PageSize.base.bytes)

    /// The index of the page, counted from address zero.
    public let rawValue: UInt64

    /// Creates a page number.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates a page number.
    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// The address of the page's first byte. Exact for every number up to ``last``; a larger one wraps.
    public var address: GuestPhysicalAddress { GuestPhysicalAddress(rawValue &* PageSize.base.bytes) }

    /// Orders pages from low to high.
    @inlinable
    public static func < (left: PageNumber, right: PageNumber) -> Bool { left.rawValue < right.rawValue }
}

extension PageNumber: CustomStringConvertible {
    /// The number in hexadecimal.
    public var description: String { "gfn 0x" + String(rawValue, radix: 16) }
}
