/// A list, item by item.
struct JSONUnkeyedContainer: UnkeyedDecodingContainer {
    private let decoder: JSONValueDecoder
    private let array: JSONArray
    private var tree: JSONTree { array.tree }

    init(_ decoder: JSONValueDecoder, _ array: JSONArray) {
        self.decoder = decoder
        self.array = array
    }

    var codingPath: [any CodingKey] { tree.path(to: array.node) }
    /// Not known before it has been read.
    var count: Int? { nil }
    var isAtEnd: Bool { array.isAtEnd }
    var currentIndex: Int { array.index }

    mutating func decodeNil() throws -> Bool {
        guard tree.isNull(try array.peek()) else { return false }
        _ = try array.take()
        return true
    }

    mutating func decode(_ type: Bool.Type) throws -> Bool { try tree.boolean(array.take()) }
    mutating func decode(_ type: String.Type) throws -> String { try tree.string(array.take()) }
    mutating func decode(_ type: Double.Type) throws -> Double { try tree.number(array.take()) }
    mutating func decode(_ type: Float.Type) throws -> Float { try tree.number(array.take()) }
    mutating func decode<Value: FixedWidthInteger & Decodable>(_ type: Value.Type) throws -> Value {
        try tree.integer(array.take())
    }
    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try JSONValueDecoder.value(type, tree, array.take())
    }

    mutating func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type
    ) throws -> KeyedDecodingContainer<Nested> {
        KeyedDecodingContainer(JSONKeyedContainer<Nested>(decoder, try decoder.object(array.take())))
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        JSONUnkeyedContainer(decoder, try decoder.array(array.take()))
    }

    mutating func superDecoder() throws -> any Decoder { JSONValueDecoder(tree, try array.take()) }
}
