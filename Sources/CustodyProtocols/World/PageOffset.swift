/// The index of a page in a guest_memfd file (the kernel's `pgoff_t`), in pages of the file.
@frozen
public struct PageOffset: RawRepresentable, Hashable, Comparable, Sendable {
    /// The index, in pages from the beginning of the file.
    public var rawValue: UInt64

    /// The page at `rawValue` pages from the beginning of the file.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The page at `index` pages from the beginning of the file.
    @inlinable
    public init(_ index: UInt64) { rawValue = index }

    /// Whether the left page comes first.
    @inlinable
    public static func < (left: PageOffset, right: PageOffset) -> Bool { left.rawValue < right.rawValue }
}
