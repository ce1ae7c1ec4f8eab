extension GuestMemoryLayout: Codable {
    private enum CodingKeys: String, CodingKey {
        case regions, granularity
    }

    /// Writes the regions, and the granularity in bytes.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(regions, forKey: .regions)
        try container.encode(granularity, forKey: .granularity)
    }

    /// Reads a layout.
    ///
    /// - Throws: `DecodingError` where the regions are no layout.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let regions = try container.decode([PageRange].self, forKey: .regions)
        let granularity = try container.decode(PageSize.self, forKey: .granularity)
        do {
            try self.init(regions: regions, granularity: granularity)
        } catch {
            let index = error.index(in: regions).map { [$0.codingKey] } ?? []
            let path = container.codingPath + [CodingKeys.regions] + index
            throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: "\(error)"))
        }
    }
}
