/// Why a pair of numbers is no page range.
public enum RangeError: Error, Sendable, Hashable {
    /// The range has no page.
    case empty
    /// The address or the length is not a multiple of `granularity`.
    case misaligned(granularity: PageSize)
    /// The end lies beyond the 64-bit address space.
    case wraps
}

extension RangeError: CustomStringConvertible {
    /// One sentence that says what is wrong with the range.
    public var description: String {
        switch self {
        case .empty: "the range is empty"
        case .misaligned(let granularity): "the range is not a multiple of \(ByteCount(granularity.bytes))"
        case .wraps: "the range runs past the end of the address space"
        }
    }
}
