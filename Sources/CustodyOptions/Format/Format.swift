/// What a value of a file may be, said once: how it is read, and how a schema says the same to an editor.
public struct Format<Value: Sendable>: Sendable {
    /// How a value is read.
    public typealias Reader =
        @Sendable (ConfigurationNode, Site) throws(ConfigurationError) -> Reading<Value>

    /// The JSON Schema of the value, made when it is asked for: whoever reads a file does not need it.
    public var schema: JSONValue { makeSchema() }
    /// Reads it.
    public let read: Reader

    private let makeSchema: @Sendable () -> JSONValue

    /// What a schema says of a value, and how it is read: the two must say the same.
    public init(_ schema: @autoclosure @escaping @Sendable () -> JSONValue, _ read: @escaping Reader) {
        makeSchema = schema
        self.read = read
    }

    /// The format of what is made of the value, which may refuse it.
    public func map<Other>(
        _ transform: @escaping @Sendable (Value, SourceLocation) throws(ConfigurationError) -> Other
    ) -> Format<Other> {
        let read = read
        return Format<Other>(schema) { (node, site) throws(ConfigurationError) in
            let reading = try read(node, site)
            return Reading(try transform(reading.value, node.location), reading.text, parts: reading.parts)
        }
    }

    /// The same format, of the reading as a whole.
    public var reading: Format<Reading<Value>> {
        let read = read
        return Format<Reading<Value>>(schema) { (node, site) throws(ConfigurationError) in
            let reading = try read(node, site)
            return Reading(reading, reading.text, parts: reading.parts)
        }
    }

    /// The same with more members in the schema.
    public func annotated(_ members: [String: JSONValue]) -> Format { Format(schema.merging(members), read) }

    /// A format that is defined elsewhere in the schema: it may contain itself.
    public static func reference(
        _ name: String,
        to format: @escaping @Sendable () -> Format
    ) -> Format {
        Format(["$ref": .string("#/$defs/\(name)")]) { (node, site) throws(ConfigurationError) in
            try format().read(node, site)
        }
    }
}
