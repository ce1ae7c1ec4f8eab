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
        guard self >= .zero else { return "-" + (Duration.zero - self).text }
        let (seconds, attoseconds) = components
        let (unit, whole, thousandths) = Duration.parts(seconds, attoseconds)
        guard thousandths != 0 else { return "\(whole) \(unit)" }
        let digits = String(thousandths + 1000).dropFirst()
        return "\(whole).\(digits.reversed().drop { $0 == "0" }.reversed().map(String.init).joined()) \(unit)"
    }

    /// The unit, how many of it, and the thousandths beside that, rounded to the nearest.
    private static func parts(_ seconds: Int64, _ attoseconds: Int64) -> (
        unit: String, whole: Int64, thousandths: Int64
    ) {
        func rounded(_ number: Int64, _ divisor: Int64) -> Int64 { number / divisor + (number % divisor * 2 / divisor) }
        guard seconds == 0 else {
            let thousandths = rounded(attoseconds, 1_000_000_000_000_000)
            // A whole one more, where it fits.
            guard thousandths == 1000 else { return ("s", seconds, thousandths) }
            return seconds < .max ? ("s", seconds + 1, 0) : ("s", seconds, 999)
        }
        let unit = units.dropLast().last { attoseconds / 1_000_000_000 >= $0.nanoseconds } ?? units[0]
        let thousandths = rounded(attoseconds, unit.nanoseconds * 1_000_000)
        return (unit.name, thousandths / 1000, thousandths % 1000)
    }
}
