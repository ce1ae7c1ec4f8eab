/// What is wrong with JSON, in words.
package enum DecodingText {
    /// The reason that a decoder gives, and the keys that lead to it: a part of a sentence.
    package static func describe(_ error: any Error) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.isEmpty ? "" : " in ‘\(path.map(\.stringValue).joined(separator: "."))’"
        }
        switch error as? DecodingError {
        case .dataCorrupted(let context): return context.debugDescription + place(context.codingPath)
        case .keyNotFound(let key, let context): return "‘\(key.stringValue)’ is missing" + place(context.codingPath)
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return context.debugDescription + place(context.codingPath)
        default: return "\(error)"
        }
    }
}
