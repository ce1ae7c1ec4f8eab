import Custody

extension Requester: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable {
        case guest, host, device
    }

    /// Writes one key, the kind, with the processor's number or the name.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .guest(let processor): try container.encode(processor, forKey: .guest)
        case .host(let name): try container.encode(name, forKey: .host)
        case .device(let name): try container.encode(name, forKey: .device)
        }
    }

    /// Reads a requester.
    ///
    /// - Throws: `DecodingError` unless exactly one kind is named.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        guard let kind = container.allKeys.first, container.allKeys.count == 1 else {
            let text = "a requester is one of ‘guest’, ‘host’ and ‘device’"
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: text))
        }
        switch kind {
        case .guest: self = .guest(processor: try container.decode(Int.self, forKey: .guest))
        case .host: self = .host(try container.decode(String.self, forKey: .host))
        case .device: self = .device(try container.decode(String.self, forKey: .device))
        }
    }
}
