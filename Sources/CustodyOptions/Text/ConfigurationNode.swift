/// A value of a configuration file, with the place where it stands.
///
/// The core reads configurations without knowing how they are written: whoever parses YAML makes these.
public struct ConfigurationNode: Sendable {
    /// What a value is.
    public indirect enum Content: Sendable {
        /// Text, a number, a truth value: not told apart before somebody asks for one.
        case scalar(String)
        /// A list.
        case list([ConfigurationNode])
        /// Keys with values, in the order of the file.
        case mapping([(key: ConfigurationNode, value: ConfigurationNode)])
        /// Nothing.
        case empty
    }

    /// What the value is.
    public let content: Content
    /// Where it stands.
    public let location: SourceLocation

    /// A value at a place.
    public init(_ content: Content, at location: SourceLocation) {
        self.content = content
        self.location = location
    }

    /// The value as text, or `nil` where it is not a scalar.
    public var text: String? {
        guard case .scalar(let text) = content else { return nil }
        return text
    }

    /// What the value is, in the words of an error message.
    var kind: String {
        switch content {
        case .scalar(let text): location.quoting(text, or: "what stands there")
        case .list: "a list"
        case .mapping: "a mapping"
        case .empty: "nothing"
        }
    }
}
