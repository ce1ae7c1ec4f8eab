/// What is wrong with a trace, and where.
public struct TraceError: Error, Sendable, Hashable {
    /// What is wrong: one sentence.
    public let message: String
    /// The file, as the user named it.
    public let file: String
    /// The line in the file, from 1; `nil` where it is about the file as a whole.
    public let line: Int?

    /// An error about a file, or about a line of it.
    public init(_ message: String, file: String, line: Int? = nil) {
        self.message = message
        self.file = file
        self.line = line
    }
}

extension TraceError: CustomStringConvertible {
    /// Place and message as compilers print them.
    public var description: String { "\(file)\(line.map { ":\($0)" } ?? ""): error: \(message)" }
}
