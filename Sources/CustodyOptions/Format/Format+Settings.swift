/// What a key makes of the value that it belongs to.
public typealias Setting<Root> = @Sendable (inout Root) -> Void

extension Key {
    /// A key that sets a part of a value, which is as it was where the key is left out.
    public static func setting<Root, Part>(
        _ name: String,
        _ path: any WritableKeyPath<Root, Part> & Sendable,
        _ format: Format<Part>,
        _ documentation: String
    ) -> Key where Value == Setting<Root> {
        let key = Key<Part?>.optional(name, format, documentation)
        return Key(key.entries) { (section, site, texts) throws(ConfigurationError) in
            guard let part = try key.read(&section, site, &texts) else { return { _ in } }
            return { $0[keyPath: path] = part }
        }
    }

    /// The same for a part that may be missing.
    public static func setting<Root, Part>(
        _ name: String,
        _ path: any WritableKeyPath<Root, Part?> & Sendable,
        _ format: Format<Part>,
        _ documentation: String
    ) -> Key where Value == Setting<Root> {
        setting(name, path, format.map { (part, _) in Part?.some(part) }, documentation)
    }
}

extension Format {
    /// A mapping whose keys change a value that has everything already.
    public static func settings(
        of standard: @escaping @Sendable () -> Value,
        _ keys: [Key<Setting<Value>>]
    ) -> Format {
        mapping(
            Key(keys.flatMap(\.entries)) { (section, site, texts) throws(ConfigurationError) in
                var value = standard()
                for key in keys { try key.read(&section, site, &texts)(&value) }
                return value
            }
        )
    }
}
