extension PageRange: Codable {
    private enum CodingKeys: String, CodingKey {
        case page, count
    }

    /// Writes the first page's number and the number of pages.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(start.rawValue, forKey: .page)
        try container.encode(count, forKey: .count)
    }

    /// Reads a range.
    ///
    /// - Throws: `DecodingError` where the two numbers are no range.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let start = try container.decode(UInt64.self, forKey: .page)
        let count = try container.decode(UInt64.self, forKey: .count)
        do {
            try self.init(start: PageNumber(start), count: count)
        } catch {
            throw DecodingError.dataCorruptedError(forKey: .count, in: container, debugDescription: "\(error)")
        }
    }
}
