extension Duration {
    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000),
    ]

    /// A time span as people write it: a whole number and one of `ns`, `us`, `ms`, `s`, `min`. `nil` for anything else.
    package init?(text: String) {
        let digits = text.prefix { $0 >= "0" && $0 <= "9" }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }
        guard let number = Int64(digits), let factor = Duration.units.first(where: { $0.name == unit })?.nanoseconds
        else { return nil }
        let (nanoseconds, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        self = .nanoseconds(nanoseconds)
    }

    /// The span in the largest unit that leaves at least one, with up to three digits after the point.
    package var text: String {
        let (seconds, attoseconds) = components
        let nanoseconds = Double(seconds) * 1e9 + Double(attoseconds) / 1e9
        let unit = Duration.units.dropLast().last { nanoseconds >= Double($0.nanoseconds) } ?? Duration.units[0]
        let thousandths = Int64((nanoseconds / Double(unit.nanoseconds) * 1000).rounded())
        let (whole, fraction) = (thousandths / 1000, thousandths % 1000)
        guard fraction != 0 else { return "\(whole) \(unit.name)" }
        let digits = String(fraction + 1000).dropFirst()
        return "\(whole).\(digits.reversed().drop { $0 == "0" }.reversed().map(String.init).joined()) \(unit.name)"
    }
}
