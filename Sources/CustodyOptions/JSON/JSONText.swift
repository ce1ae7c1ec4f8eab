/// Text of JSON that may come from anybody: a trace's line, a snapshot.
///
/// It is read strictly. A key that stands twice, a key that the value does not have, and an item too many are errors, and
/// every error has its place.
package enum JSONText {
    /// The value that a text is.
    ///
    /// - Throws: ``JSONError`` where it is not JSON, or none of the type.
    /// - Complexity: O(*n*) in the length of the text.
    package static func decode<Value: Decodable>(
        _ type: Value.Type,
        from bytes: [UInt8]
    ) throws(JSONError) -> Value {
        let tree = try JSONParser.tree(of: bytes)
        do {
            return try JSONValueDecoder.value(type, tree, 0)
        } catch let error as JSONError {
            throw error
        } catch {
            throw tree.error(error)
        }
    }
}
