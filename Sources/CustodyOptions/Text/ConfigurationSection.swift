public import Custody

/// A mapping of a configuration, read key by key. What nobody asked for is an error, not a silence.
///
/// Read the keys that there may be, then call ``finish()``.
public struct ConfigurationSection: Sendable {
    /// Where the section stands.
    public let location: SourceLocation

    private var entries: [(key: String, location: SourceLocation, value: ConfigurationNode)]
    private var known: [String] = []

    /// An empty section, for what a file does not mention.
    public init(at location: SourceLocation) {
        self.location = location
        entries = []
    }

    /// A section of one key: a value that stands alone is read as that of a key is.
    public init(of key: String, _ node: ConfigurationNode) {
        location = node.location
        entries = [(key, node.location, node)]
    }

    /// The keys of a mapping; nothing at all is an empty one.
    ///
    /// - Throws: ``ConfigurationError`` where the value is no mapping or a key stands in it twice.
    public init(_ node: ConfigurationNode) throws(ConfigurationError) {
        location = node.location
        var entries: [(key: String, location: SourceLocation, value: ConfigurationNode)] = []
        switch node.content {
        case .empty: break
        case .mapping(let pairs):
            var names: Set<String> = []
            for (key, value) in pairs {
                guard let name = key.text else {
                    throw ConfigurationError("a key must be a word, not \(key.kind)", at: key.location)
                }
                guard names.insert(name).inserted else {
                    throw ConfigurationError(
                        "the key \(key.location.quoting(name, or: "there")) stands here twice",
                        at: key.location
                    )
                }
                entries.append((name, key.location, value))
            }
        case .scalar, .list:
            throw ConfigurationError("expected keys with values, not \(node.kind)", at: node.location)
        }
        self.entries = entries
    }

    /// The section with one more key, or with another value for one that it has: what a command line adds to a file.
    ///
    /// Errors about the value show `option` in place of a place in a file.
    public func setting(_ key: String, to text: String, option: String) -> ConfigurationSection {
        setting(key, to: ConfigurationNode(.scalar(text), at: SourceLocation(option: option)))
    }

    /// The section with the keys of another one, which take precedence.
    public func overridden(by other: ConfigurationSection) -> ConfigurationSection {
        other.entries.reduce(self) { $0.setting($1.key, to: $1.value) }
    }

    private func setting(_ key: String, to value: ConfigurationNode) -> ConfigurationSection {
        var section = self
        section.entries.removeAll { $0.key == key }
        section.entries.append((key, value.location, value))
        return section
    }

    /// The value of `key`, or `nil` where it is not there.
    public mutating func node(_ key: String) -> ConfigurationNode? {
        known.append(key)
        return entries.first { $0.key == key }?.value
    }

    /// The text of `key`, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` where the value is not a scalar.
    public mutating func string(_ key: String) throws(ConfigurationError) -> String? {
        try scalar(key, "text") { $0 }
    }

    /// The number of `key`, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` where the value is not a whole number within `range`.
    public mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        try scalar(key, "a whole number from \(range.lowerBound) to \(range.upperBound)") { text in
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// The number of `key`, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` where the value is not a whole number from zero to 2⁶⁴ − 1.
    public mutating func unsigned(_ key: String) throws(ConfigurationError) -> UInt64? {
        try scalar(key, "a whole number from 0 to \(UInt64.max)") { UInt64($0) }
    }

    /// The truth value of `key`, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` where the value is neither `true` nor `false`.
    public mutating func boolean(_ key: String) throws(ConfigurationError) -> Bool? {
        try scalar(key, "‘true’ or ‘false’") { text in text == "true" ? true : text == "false" ? false : nil }
    }

    /// The size of `key` in bytes, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` where the value is not a number with one of the units of ``ByteCount``.
    public mutating func byteCount(_ key: String) throws(ConfigurationError) -> ByteCount? {
        try scalar(key, "a size such as 4096, 4KiB, 2M or 256MiB") { ByteCount(text: $0) }
    }

    /// The time span of `key`, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` where the value is not a whole number with a unit.
    public mutating func duration(_ key: String) throws(ConfigurationError) -> Duration? {
        try scalar(key, "a time such as 500ns, 10us, 20ms or 1s") { Duration(text: $0) }
    }

    /// The word of `key`, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` with the nearest word where the value is not one of `choices`.
    public mutating func choice<Value>(
        _ key: String,
        of choices: KeyValuePairs<String, Value>
    ) throws(ConfigurationError) -> Value? {
        try choice(key, among: Array(choices))
    }

    /// The word of `key` among words that are not known before the program runs, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` with the nearest word where the value is not one of `choices`.
    public mutating func choice<Value>(
        _ key: String,
        among choices: [(key: String, value: Value)]
    ) throws(ConfigurationError) -> Value? {
        guard let node = node(key) else { return nil }
        let words = choices.map(\.key)
        guard let text = node.text else {
            throw ConfigurationError(
                "‘\(key)’ must be one of \(words.joined(separator: ", ")), not \(node.kind)",
                at: node.location
            )
        }
        guard let match = choices.first(where: { $0.key == text }) else {
            throw ConfigurationError(unknown: "value of ‘\(key)’", text, known: words, at: node.location)
        }
        return match.value
    }

    /// The section below `key`, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` where the value is no mapping.
    public mutating func section(_ key: String) throws(ConfigurationError) -> ConfigurationSection? {
        guard let node = node(key) else { return nil }
        return try ConfigurationSection(node)
    }

    /// The list of `key`, or `nil` where it is not there.
    ///
    /// - Throws: ``ConfigurationError`` where the value is no list.
    public mutating func list(_ key: String) throws(ConfigurationError) -> [ConfigurationNode]? {
        guard let node = node(key) else { return nil }
        guard case .list(let items) = node.content else {
            throw ConfigurationError("‘\(key)’ must be a list, not \(node.kind)", at: node.location)
        }
        return items
    }

    /// An error that says `key` is missing.
    public func missing(_ key: String) -> ConfigurationError {
        ConfigurationError("the key ‘\(key)’ is missing here", at: location)
    }

    /// The section as the value that it is read of.
    public var node: ConfigurationNode {
        let pairs = entries.map { (key: ConfigurationNode(.scalar($0.key), at: $0.location), value: $0.value) }
        return ConfigurationNode(.mapping(pairs), at: location)
    }

    /// The keys that stand in the section, in the order of the file.
    public var keys: [String] { entries.map(\.key) }

    /// Ends the reading.
    ///
    /// - Throws: ``ConfigurationError`` for the first key that nobody asked for, with the nearest one that was.
    public consuming func finish() throws(ConfigurationError) {
        for entry in entries where !known.contains(entry.key) {
            let location = entry.location
            guard location.origin != .option else {
                throw ConfigurationError("the back end does not take this option", at: location)
            }
            throw ConfigurationError(unknown: "key", entry.key, known: Set(known).sorted(), at: location)
        }
    }

    private mutating func scalar<Value>(
        _ key: String,
        _ expected: String,
        _ read: (String) -> Value?
    ) throws(ConfigurationError) -> Value? {
        guard let node = node(key) else { return nil }
        guard let text = node.text, let value = read(text) else {
            throw ConfigurationError("‘\(key)’ must be \(expected), not \(node.kind)", at: node.location)
        }
        return value
    }
}
