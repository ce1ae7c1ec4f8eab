public import Custody

/// What is read of a mapping: mostly one key.
public struct Key<Value: Sendable>: Sendable {
    /// How it is read; what it was read as is added to the texts.
    public typealias Reader =
        @Sendable (inout ConfigurationSection, Site, inout [String]) throws(ConfigurationError) -> Value

    /// The keys that it takes.
    let entries: [KeyEntry]
    let read: Reader

    /// Keys, and how a mapping is read that may have them.
    public init(_ entries: [KeyEntry], _ read: @escaping Reader) {
        self.entries = entries
        self.read = read
    }

    /// A key that must be there.
    public static func required(_ name: String, _ format: Format<Value>, _ documentation: String) -> Key {
        let entry = KeyEntry(name, format.schema, documentation, isRequired: true)
        return Key([entry]) { (section, site, texts) throws(ConfigurationError) in
            guard let node = section.node(name) else { throw section.missing(name) }
            return try read(node, format, name, site, &texts)
        }
    }

    /// A key that may be left out.
    public static func optional<Wrapped>(
        _ name: String,
        _ format: Format<Wrapped>,
        _ documentation: String
    ) -> Key where Value == Wrapped? {
        Key([KeyEntry(name, format.schema, documentation)]) { (section, site, texts) throws(ConfigurationError) in
            guard let node = section.node(name) else { return nil }
            return try Key<Wrapped>.read(node, format, name, site, &texts)
        }
    }

    /// A key that is read as if it were there with `standard`, or with nothing at all, where it is left out.
    public static func defaulting(
        _ name: String,
        _ format: Format<Value>,
        to standard: String?,
        _ documentation: String
    ) -> Key {
        let value = standard.map { text in Int(text).map { JSONValue.integer($0) } ?? .string(text) }
        let entry = KeyEntry(name, format.schema.merging(value.map { ["default": $0] } ?? [:]), documentation)
        return Key([entry]) { (section, site, texts) throws(ConfigurationError) in
            let content = standard.map { ConfigurationNode.Content.scalar($0) } ?? .empty
            let node = section.node(name) ?? ConfigurationNode(content, at: section.location)
            return try read(node, format, name, site, &texts)
        }
    }

    /// Several keys, and what is made of them.
    public static func merged<each Field: Sendable>(
        _ key: repeat Key<each Field>,
        make: @escaping @Sendable (repeat each Field) throws(ConfigurationError) -> Value
    ) -> Key {
        let keys = (repeat each key)
        var entries: [KeyEntry] = []
        repeat entries += (each keys).entries
        return Key(entries) { (section, site, texts) throws(ConfigurationError) in
            try make(repeat try (each keys).read(&section, site, &texts))
        }
    }

    private static func read(
        _ node: ConfigurationNode,
        _ format: Format<Value>,
        _ name: String,
        _ site: Site,
        _ texts: inout [String]
    ) throws(ConfigurationError) -> Value {
        let reading = try format.read(node, site.value(of: name))
        texts.append("\(name): \(reading.text)")
        return reading.value
    }
}

extension Key<PageRange> {
    /// The two keys `at` and `size`.
    public static var range: Key {
        let entries = [
            KeyEntry("at", Format<ByteCount>.size.schema, "The first byte: a multiple of 4 KiB.", isRequired: true),
            KeyEntry(
                "size",
                Format<ByteCount>.size.schema,
                "The number of bytes: a multiple of 4 KiB, and not none.",
                isRequired: true
            ),
        ]
        return Key(entries) { (section, _, texts) throws(ConfigurationError) in
            let range = try section.range()
            texts.append("\(range)")
            return range
        }
    }
}

extension Key<SourceLocation> {
    /// The place of the mapping: no key of the file.
    public static var location: Key { Key([]) { (section, _, _) in section.location } }
}

extension Key<Site> {
    /// What leads to the mapping: no key of the file.
    public static var site: Key { Key([]) { (_, site, _) in site } }
}
