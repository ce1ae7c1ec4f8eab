/// What a change of ownership does to the bytes of the page.
public enum ContentsEffect: String, Sendable, Hashable, CaseIterable, Codable {
    /// The receiver reads what was there before.
    case preserved
    /// The receiver reads zeroes.
    case zeroed
    /// The bytes are gone, and what the receiver reads first is not promised.
    case discarded
    /// Nothing is promised either way.
    case unspecified
}
