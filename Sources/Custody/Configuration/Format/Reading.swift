/// What a value of a file was read as.
package struct Reading<Value: Sendable>: Sendable {
    /// The value.
    package let value: Value
    /// The value in words, with what the file left out.
    package let text: String
    /// The same by key, where it is a mapping.
    package let parts: [String]

    package init(_ value: Value, _ text: String, parts: [String] = []) {
        self.value = value
        self.text = text
        self.parts = parts
    }
}
