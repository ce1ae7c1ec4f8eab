/// What is wrong with a configuration, and where.
public struct ConfigurationError: Error, Sendable, Hashable {
    /// What is wrong and what is accepted, in one sentence.
    public let message: String
    /// The place.
    public let location: SourceLocation

    /// An error at a place.
    public init(_ message: String, at location: SourceLocation) {
        self.message = message
        self.location = location
    }

    /// An error about a word that is not one of `known`: it names the nearest one.
    public init(unknown what: String, _ word: String, known: [String], at location: SourceLocation) {
        var message =
            "unknown \(what) \(location.quoting(word, or: "there"))\(EditDistance.question(about: word, in: known))"
        message += known.isEmpty ? " (none is accepted)" : " (accepted: \(known.joined(separator: ", ")))"
        self.init(message, at: location)
    }
}

extension ConfigurationError: CustomStringConvertible {
    /// Place and message as compilers print them.
    public var description: String { "\(location): error: \(message)" }
}
