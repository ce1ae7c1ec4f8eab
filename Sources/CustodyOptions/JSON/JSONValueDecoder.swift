/// Decodes one value, and sees that nothing is left over of it.
final class JSONValueDecoder: Decoder {
    let tree: JSONTree
    let node: Int
    /// What has been opened of it: the value itself, and what stands in it without being a value of a type of its own.
    private var objects: [JSONObject] = []
    private var arrays: [JSONArray] = []

    var codingPath: [any CodingKey] { tree.path(to: node) }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    init(_ tree: JSONTree, _ node: Int) {
        self.tree = tree
        self.node = node
    }

    /// The value of a type that a node is.
    static func value<Value: Decodable>(_ type: Value.Type, _ tree: JSONTree, _ node: Int) throws -> Value {
        let decoder = JSONValueDecoder(tree, node)
        do {
            let value = try Value(from: decoder)
            try decoder.checkIsRead()
            return value
        } catch let error as DecodingError {
            if let words = words(of: type) { throw tree.unknown(node, among: words) }
            // What is not known first: it may be what is missing, misspelt.
            guard let unknown = decoder.unknownKey else { throw tree.error(error) }
            throw unknown
        }
    }

    /// The words that a type has, or its numbers; `nil` for one that is more than these.
    private static func words(of type: any Decodable.Type) -> [String]? {
        func words<Word: CaseIterable & RawRepresentable>(_ type: Word.Type) -> [String] {
            type.allCases.map { word in
                // What has a name beside its number is written with its name.
                word.rawValue as? String ?? (word as? any CustomStringConvertible)?.description ?? "\(word.rawValue)"
            }
        }
        return (type as? any (CaseIterable & RawRepresentable).Type).map { words($0) }
    }

    /// The first key that none of the types of keys has that the value was asked for by.
    private var unknownKey: JSONError? {
        for object in objects { if let unknownKey = object.unknownKey { return unknownKey } }
        return nil
    }

    private func checkIsRead() throws(JSONError) {
        if let unknownKey { throw unknownKey }
        for array in arrays { try array.checkIsRead() }
    }

    func object(_ node: Int) throws(JSONError) -> JSONObject {
        if let object = objects.first(where: { $0.node == node }) { return object }
        let object = try JSONObject(tree, node)
        objects.append(object)
        return object
    }

    func array(_ node: Int) throws(JSONError) -> JSONArray {
        let array = try JSONArray(tree, node)
        arrays.append(array)
        return array
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(JSONKeyedContainer(self, try object(node)))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { JSONUnkeyedContainer(self, try array(node)) }

    func singleValueContainer() -> any SingleValueDecodingContainer { self }
}

extension JSONValueDecoder: SingleValueDecodingContainer {
    func decodeNil() -> Bool { tree.isNull(node) }
    func decode(_ type: Bool.Type) throws -> Bool { try tree.boolean(node) }
    func decode(_ type: String.Type) throws -> String { try tree.string(node) }
    func decode(_ type: Double.Type) throws -> Double { try tree.number(node) }
    func decode(_ type: Float.Type) throws -> Float { try tree.number(node) }
    func decode<Value: FixedWidthInteger & Decodable>(_ type: Value.Type) throws -> Value { try tree.integer(node) }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try JSONValueDecoder.value(type, tree, node) }
}
