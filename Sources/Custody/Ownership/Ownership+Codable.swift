extension Ownership: Codable {
    /// Writes the name.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    /// Reads a name.
    ///
    /// - Throws: `DecodingError` for any other word.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let name = try container.decode(String.self)
        guard let ownership = Ownership(name: name) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "‘\(name)’ is no ownership")
        }
        self = ownership
    }
}
