/// What a value of a file was read as.
public struct Reading<Value: Sendable>: Sendable {
    /// The value.
    public let value: Value
    /// The value in words, with what the file left out.
    public let text: String
    /// The same by key, where it is a mapping.
    public let parts: [String]

    /// A value, in words, and by key where it is a mapping.
    public init(_ value: Value, _ text: String, parts: [String] = []) {
        self.value = value
        self.text = text
        self.parts = parts
    }
}
