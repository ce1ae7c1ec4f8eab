/// A key of a mapping, as its schema shows it.
public struct KeyEntry: Sendable {
    /// The key.
    public let name: String
    /// The schema of its value.
    public var schema: JSONValue { makeSchema() }
    /// What it means, in a sentence.
    public let documentation: String
    /// Whether it must be there.
    public let isRequired: Bool

    private let makeSchema: @Sendable () -> JSONValue

    /// An entry of a table: a key, its schema, and a sentence for whoever writes it.
    public init(
        _ name: String,
        _ schema: @autoclosure @escaping @Sendable () -> JSONValue,
        _ documentation: String,
        isRequired: Bool = false
    ) {
        self.name = name
        makeSchema = schema
        self.documentation = documentation
        self.isRequired = isRequired
    }

    /// The schema of a mapping with these keys and no others. Where none is required, nothing at all is one.
    static func schema(of entries: [KeyEntry]) -> JSONValue {
        let required = entries.filter(\.isRequired).map { JSONValue.string($0.name) }
        let properties = entries.map { ($0.name, $0.schema.merging(["description": .string($0.documentation)])) }
        var schema: [String: JSONValue] = [
            "type": required.isEmpty ? ["object", "null"] : "object",
            "properties": .object(Dictionary(properties) { $1 }),
            "additionalProperties": false,
        ]
        if !required.isEmpty { schema["required"] = .array(required) }
        return .object(schema)
    }
}
