/// What a guest does when it is asked to give memory up.
public enum RemovalAnswer: String, Sendable, Hashable, CaseIterable, Codable {
    /// It gives it up.
    case accept
    /// It says that it needs it.
    case refuse
    /// It says nothing.
    case ignore
}
