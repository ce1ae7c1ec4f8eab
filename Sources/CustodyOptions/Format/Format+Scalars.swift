public import Custody

extension Format {
    /// One scalar, read by a section's own reader, so that messages are the same everywhere.
    private static func scalar(
        _ schema: JSONValue,
        _ read: @escaping @Sendable (inout ConfigurationSection, String) throws(ConfigurationError) -> Value?,
        _ text: @escaping @Sendable (Value) -> String
    ) -> Format {
        Format(schema) { (node, site) throws(ConfigurationError) in
            var section = ConfigurationSection(of: site.key, node)
            guard let value = try read(&section, site.key) else { throw section.missing(site.key) }
            return Reading(value, text(value))
        }
    }

    /// One of some words.
    public static func word(_ choices: [(key: String, value: Value)]) -> Format {
        Format(["enum": .array(choices.map { .string($0.key) })]) { (node, site) throws(ConfigurationError) in
            var section = ConfigurationSection(of: site.key, node)
            guard let value = try section.choice(site.key, among: choices) else { throw section.missing(site.key) }
            return Reading(value, node.text ?? "")
        }
    }

    /// The words of an enumeration.
    public static func word() -> Format
    where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
        word(Value.allCases.map { ($0.rawValue, $0) })
    }
}

extension Format<Int> {
    /// A whole number. Quoted ones are read as well; a schema wants them bare.
    public static func integer(in range: ClosedRange<Int>) -> Format {
        scalar(
            ["type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound)],
            { (section, key) throws(ConfigurationError) in try section.integer(key, in: range) },
            { "\($0)" }
        )
    }
}

extension Format<Bool> {
    /// `true` or `false`.
    public static var boolean: Format {
        scalar(
            ["type": "boolean"],
            { (section, key) throws(ConfigurationError) in try section.boolean(key) },
            { "\($0)" }
        )
    }

    /// `true`, for a key that says all by being there.
    public static var yes: Format { word([("true", true)]).annotated(["enum": [true]]) }
}

extension Format<String> {
    /// Any text, of at least one character.
    public static var text: Format {
        Format(["type": "string", "minLength": 1]) { (node, site) throws(ConfigurationError) in
            var section = ConfigurationSection(of: site.key, node)
            guard let text = try section.string(site.key) else { throw section.missing(site.key) }
            guard !text.isEmpty else { throw ConfigurationError("‘\(site.key)’ is empty", at: node.location) }
            return Reading(text, text)
        }
    }

    /// A name: letters, digits, `.`, `_` and `-`.
    public static var name: Format {
        text.annotated(["pattern": "^[A-Za-z0-9._-]+$"]).map { (name, location) throws(ConfigurationError) in
            let isName = name.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
            guard isName else {
                throw ConfigurationError(
                    "a name has letters, digits, ‘.’, ‘_’ and ‘-’ only, unlike \(location.quoting(name, or: "this"))",
                    at: location
                )
            }
            return name
        }
    }
}

extension Format where Value == ByteCount {
    /// A number of bytes, with a unit.
    public static var size: Format<ByteCount> {
        scalar(
            [
                "anyOf": [
                    ["type": "integer", "minimum": 0],
                    [
                        "type": "string",
                        "pattern": "^(0[xX][0-9a-fA-F]+|[0-9]+) ?([bB]|[kKmMgGtTpP]([iI][bB])?)?$",
                    ],
                ]
            ],
            { (section, key) throws(ConfigurationError) in try section.byteCount(key) },
            { "\($0)" }
        )
    }
}

extension Format where Value: FixedWidthInteger & UnsignedInteger {
    /// A whole number of the type, in decimal or, with `0x`, in hexadecimal digits.
    public static var number: Format {
        let digits = Value.bitWidth / 4
        var whole: [String: JSONValue] = ["type": "integer", "minimum": 0]
        // Where it is as large as a schema's numbers are, the digits have to do.
        if let most = Int(exactly: Value.max) { whole["maximum"] = .integer(most) }
        let schema: JSONValue = [
            "anyOf": [.object(whole), ["type": "string", "pattern": .string("^0[xX][0-9a-fA-F]{1,\(digits)}$")]]
        ]
        return Format(schema) { (node, site) throws(ConfigurationError) in
            guard let text = node.text, let number = Value(written: text) else {
                throw ConfigurationError(
                    "‘\(site.key)’ must be a whole number of \(Value.bitWidth) bits such as 7 or 0x7, not \(node.kind)",
                    at: node.location
                )
            }
            return Reading(number, text)
        }
    }
}

extension FixedWidthInteger {
    /// Reads digits: no sign, no space, and no more than the type has room for.
    fileprivate init?(written text: String) {
        let isHexadecimal = text.hasPrefix("0x") || text.hasPrefix("0X")
        let digits = isHexadecimal ? text.dropFirst(2) : Substring(text)
        guard let first = digits.first, first.isHexDigit, !isHexadecimal || digits.utf8.count <= Self.bitWidth / 4
        else {
            return nil
        }
        self.init(digits, radix: isHexadecimal ? 16 : 10)
    }
}

extension Format<UInt64> {
    /// A size in whole base pages, as their number.
    public static func pages(atLeast minimum: UInt64 = 0) -> Format {
        Format<ByteCount>.size.map { (size, location) throws(ConfigurationError) in
            let page = PageSize.base.bytes
            guard size.rawValue.isMultiple(of: page), size.rawValue / page >= minimum else {
                let least = minimum > 0 ? " and at least \(ByteCount(minimum * page))" : ""
                throw ConfigurationError(
                    "\(size) must be a multiple of \(ByteCount(page))\(least)",
                    at: location
                )
            }
            return size.rawValue / page
        }
    }
}

extension Format<Duration> {
    /// The longest time span that a file may name: a hundred years of 365 days. A back end's time has room for five of them.
    public static let longest = Duration.seconds(3_153_600_000)

    /// A time span, with a unit, at most ``longest``.
    public static func duration(atLeast minimum: Duration = .zero) -> Format {
        let span = scalar(
            ["type": "string", "pattern": "^[0-9]+ *(ns|us|ms|s|min)$"],
            { (section, key) throws(ConfigurationError) in try section.duration(key) },
            { $0.text }
        )
        return span.map { (span, location) throws(ConfigurationError) in
            guard span >= minimum else {
                throw ConfigurationError("the time must be at least \(minimum.text)", at: location)
            }
            guard span <= longest else {
                throw ConfigurationError("the time must be at most \(longest.text): a hundred years", at: location)
            }
            return span
        }
    }
}
