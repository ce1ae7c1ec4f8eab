/// An object as the keys of a type see it.
struct JSONKeyedContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    private let decoder: JSONValueDecoder
    private let object: JSONObject
    private var tree: JSONTree { object.tree }

    init(_ decoder: JSONValueDecoder, _ object: JSONObject) {
        self.decoder = decoder
        self.object = object
        object.open(Key.self)
    }

    var codingPath: [any CodingKey] { tree.path(to: object.node) }
    var allKeys: [Key] { object.names.compactMap { Key(stringValue: $0) } }

    func contains(_ key: Key) -> Bool { object.value(of: key) != nil }

    private func node(_ key: Key) throws -> Int {
        guard let node = object.value(of: key) else {
            let context = DecodingError.Context(
                codingPath: codingPath,
                debugDescription: "‘\(key.stringValue)’ is missing"
            )
            throw DecodingError.keyNotFound(key, context)
        }
        return node
    }

    func decodeNil(forKey key: Key) throws -> Bool { tree.isNull(try node(key)) }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try tree.boolean(node(key)) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try tree.string(node(key)) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try tree.number(node(key)) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try tree.number(node(key)) }
    func decode<Value: FixedWidthInteger & Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try tree.integer(node(key))
    }
    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try JSONValueDecoder.value(type, tree, node(key))
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type,
        forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> {
        KeyedDecodingContainer(JSONKeyedContainer<Nested>(decoder, try decoder.object(node(key))))
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        JSONUnkeyedContainer(decoder, try decoder.array(node(key)))
    }

    func superDecoder() throws -> any Decoder { decoder }
    func superDecoder(forKey key: Key) throws -> any Decoder { JSONValueDecoder(tree, try node(key)) }
}
