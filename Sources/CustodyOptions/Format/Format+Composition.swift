public import Custody

extension Format {
    /// A list. Every item is read as `format` says.
    public static func list<Item: Sendable>(of format: Format<Item>, atLeast minimum: Int = 0) -> Format
    where Value == [Item] {
        let schema: JSONValue = ["type": "array", "items": format.schema, "minItems": .integer(minimum)]
        return Format(schema) { (node, site) throws(ConfigurationError) in
            var section = ConfigurationSection(of: site.key, node)
            guard let nodes = try section.list(site.key) else { throw section.missing(site.key) }
            guard nodes.count >= minimum else {
                throw ConfigurationError("‘\(site.key)’ has no item", at: node.location)
            }
            var items: [Item] = []
            var texts: [String] = []
            for (index, node) in nodes.enumerated() {
                let item = try format.read(node, site.item(index))
                items.append(item.value)
                texts.append(item.text)
            }
            return Reading(items, "[" + texts.joined(separator: ", ") + "]")
        }
    }

    /// One value, or several different ones in a list.
    public static func set<Item: Hashable & Sendable>(of format: Format<Item>) -> Format where Value == Set<Item> {
        let several = Format<[Item]>.list(of: format)
        let schema: JSONValue = ["anyOf": [format.schema, several.schema.merging(["uniqueItems": true])]]
        return Format(schema) { (node, site) throws(ConfigurationError) in
            guard case .list = node.content else {
                let one = try format.read(node, site)
                return Reading([one.value], one.text)
            }
            let all = try several.read(node, site)
            let set = Set(all.value)
            guard set.count == all.value.count else {
                throw ConfigurationError("a value of ‘\(site.key)’ stands there twice", at: node.location)
            }
            return Reading(set, all.text)
        }
    }

    /// Keys with values, or a short form without keys.
    public static func short(_ short: Format, or mapping: Format) -> Format {
        Format(["anyOf": [short.schema, mapping.schema]]) { (node, site) throws(ConfigurationError) in
            if case .mapping = node.content { return try mapping.read(node, site) }
            return try short.read(node, site)
        }
    }

    /// A mapping with the given keys and no others.
    public static func mapping<each Field: Sendable>(
        _ key: repeat Key<each Field>,
        make: @escaping @Sendable (repeat each Field) throws(ConfigurationError) -> Value
    ) -> Format {
        mapping(.merged(repeat each key, make: make))
    }

    /// A mapping with the keys of this one and no others.
    static func mapping(_ key: Key<Value>) -> Format {
        let names = key.entries.map(\.name)
        return Format(KeyEntry.schema(of: key.entries)) { (node, site) throws(ConfigurationError) in
            var section = try ConfigurationSection(node)
            // What is not known first: it may be what is missing, misspelt.
            for name in names { _ = section.node(name) }
            try section.finish()
            var parts: [String] = []
            let value = try key.read(&section, site, &parts)
            return Reading(value, "{" + parts.joined(separator: ", ") + "}", parts: parts)
        }
    }

    /// A mapping of any number of keys out of a table, in the order of the file.
    public static func table<Item: Sendable>(_ rows: [(entry: KeyEntry, format: Format<Item>)]) -> Format
    where Value == [Item] {
        let names = rows.map(\.entry.name)
        return Format(KeyEntry.schema(of: rows.map(\.entry))) { (node, site) throws(ConfigurationError) in
            var section = try ConfigurationSection(node)
            let order = section.keys
            for name in names { _ = section.node(name) }
            try section.finish()
            var items: [Item] = []
            var parts: [String] = []
            for name in order {
                guard let row = rows.first(where: { $0.entry.name == name }), let value = section.node(name) else {
                    continue
                }
                let item = try row.format.read(value, site.value(of: name))
                items.append(item.value)
                parts.append("\(name): \(item.text)")
            }
            return Reading(items, "{" + parts.joined(separator: ", ") + "}", parts: parts)
        }
    }
}

extension Format {
    /// The same mapping with exactly one of these groups of keys, in the schema. The reader says so itself.
    public func exactlyOne(of groups: [[String]]) -> Format {
        let keys = Set(groups.joined())
        return annotated([
            "anyOf": .array(
                groups.map { group in
                    let others = keys.subtracting(group).map { ($0, JSONValue.boolean(false)) }
                    return [
                        "type": "object", "required": .array(group.map { .string($0) }),
                        "properties": .object(Dictionary(uniqueKeysWithValues: others)),
                    ]
                }
            )
        ])
    }
}

extension Format where Value == PageRange {
    /// The pages that `at` and `size` name.
    public static var range: Format<PageRange> { mapping(.range) { (range: PageRange) in range } }
}
