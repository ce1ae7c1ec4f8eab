/// A page size of the x86-64 and arm64 (4 KiB granule) translation regimes.
///
/// Every page count in this package is in units of the base page, ``PageSize/base``, whatever size a back end maps with.
public enum PageSize: UInt64, Sendable, Hashable, Comparable, CaseIterable, Codable {
    /// 4 KiB, the unit of every page number.
    case base = 4096
    /// 2 MiB.
    case large = 2_097_152
    /// 1 GiB.
    case huge = 1_073_741_824

    /// The size in bytes.
    public var bytes: UInt64 { rawValue }

    /// The size in base pages: 1, 512 or 262 144.
    public var pages: UInt64 { rawValue / PageSize.base.rawValue }

    /// Orders sizes from the smallest to the largest.
    public static func < (left: PageSize, right: PageSize) -> Bool { left.rawValue < right.rawValue }
}
