/// A number of bytes, as people write it in a configuration: `4096`, `64K`, `2M`, `4KiB`, `256MiB`, `1TiB`.
///
/// All suffixes are binary (`K` and `KiB` are both 1 024), as QEMU and libvirt's own memory units are.
public struct ByteCount: RawRepresentable, Sendable, Hashable, Comparable, Codable {
    /// The number of bytes.
    public let rawValue: UInt64

    /// Creates a count from a number of bytes.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates a count from a number of bytes.
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Reads a count from text; `nil` where the text is not a number, an optional space and an optional known unit, or
    /// where the number of bytes needs more than 64 bits. `0x` introduces a hexadecimal number.
    public init?(text: String) {
        let isHexadecimal = text.hasPrefix("0x") || text.hasPrefix("0X")
        let body = isHexadecimal ? text.dropFirst(2) : Substring(text)
        let digits = body.prefix { isHexadecimal ? $0.isHexDigit : ($0 >= "0" && $0 <= "9") }
        guard let number = UInt64(digits, radix: isHexadecimal ? 16 : 10) else { return nil }
        var unit = body.dropFirst(digits.count)
        if unit.first == " " { unit = unit.dropFirst() }
        guard let factor = ByteCount.factor(of: String(unit)) else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        rawValue = bytes
    }

    /// The units that ``init(text:)`` takes, smallest first.
    public static let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]

    private static func factor(of unit: String) -> UInt64? {
        guard let letter = unit.uppercased().first else { return unit.isEmpty ? 1 : nil }
        guard let power = units.firstIndex(where: { $0.first == letter }) else { return nil }
        let name = units[power].uppercased()
        guard unit.uppercased() == name || unit.uppercased() == String(letter) else { return nil }
        return 1 << (10 * UInt64(power))
    }

    /// Orders counts from the smallest to the largest.
    public static func < (left: ByteCount, right: ByteCount) -> Bool { left.rawValue < right.rawValue }
}

extension ByteCount: CustomStringConvertible {
    /// The count in the largest unit that divides it.
    public var description: String { ByteCount.text(rawValue, 0, ByteCount.units) }

    /// The size of so many base pages, also of all 2⁵² that have a 64-bit address.
    package static func text(ofPages pages: UInt64) -> String {
        let (kibibytes, overflow) = pages.multipliedReportingOverflow(by: PageSize.base.bytes / 1024)
        let units = ByteCount.units + ["EiB"]
        return overflow ? "more than \(text(.max, 1, units))" : text(kibibytes, pages == 0 ? 0 : 1, units)
    }

    /// A number of units in the largest unit that divides it.
    private static func text(_ number: UInt64, _ unit: Int, _ units: [String]) -> String {
        var value = number
        var power = unit
        while value != 0, value % 1024 == 0, power < units.count - 1 {
            value /= 1024
            power += 1
        }
        return "\(value) \(units[power])"
    }
}
