/// Why a line cannot follow those before it.
public struct TraceContradiction: Error, Sendable, Hashable, CustomStringConvertible {
    /// Why: one sentence.
    public let description: String

    init(_ description: String) { self.description = description }
}
