/// A byte address in the guest's physical address space.
///
/// Arithmetic on addresses is checked: an operation that would leave the 64-bit space returns `nil`.
public struct GuestPhysicalAddress: RawRepresentable, Sendable, Hashable, Comparable, Codable {
    /// The address in bytes.
    public let rawValue: UInt64

    /// Creates an address from a number of bytes.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates an address from a number of bytes.
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// The page that holds this address.
    public var page: PageNumber { PageNumber(rawValue / PageSize.base.bytes) }

    /// The distance from the start of the page, in bytes.
    public var offsetInPage: UInt64 { rawValue % PageSize.base.bytes }

    /// Whether the address is a multiple of `size`.
    public func isAligned(to size: PageSize) -> Bool { rawValue & (size.bytes - 1) == 0 }

    /// The address `byteCount` bytes further on, or `nil` where that would wrap.
    public func advanced(by byteCount: UInt64) -> GuestPhysicalAddress? {
        let (sum, overflow) = rawValue.addingReportingOverflow(byteCount)
        return overflow ? nil : GuestPhysicalAddress(sum)
    }

    /// Orders addresses from low to high.
    public static func < (left: GuestPhysicalAddress, right: GuestPhysicalAddress) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension GuestPhysicalAddress: CustomStringConvertible {
    /// The address in hexadecimal, as kernels print it.
    public var description: String { "0x" + String(rawValue, radix: 16) }
}
