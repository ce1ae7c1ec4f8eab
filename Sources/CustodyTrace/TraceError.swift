/// What is wrong with a trace, and where.
public struct TraceError: Error, Sendable, Hashable {
    /// What is wrong: one sentence.
    public let message: String
    /// The file, as the user named it.
    public let file: String
    /// The line in the file, from 1; `nil` where it is about the file as a whole.
    public let line: Int?
    /// The column in the line, from 1; `nil` where it is about the line as a whole.
    public let column: Int?

    /// An error about a file, about a line of it, or about a value in the line.
    public init(_ message: String, file: String, line: Int? = nil, column: Int? = nil) {
        self.message = message
        self.file = file
        self.line = line
        self.column = column
    }

    /// The file, the line and the column, as far as they are known.
    public var place: String { ([file] + [line, column].compactMap { $0.map(String.init) }).joined(separator: ":") }
}

extension TraceError: CustomStringConvertible {
    /// Place and message as compilers print them.
    public var description: String { "\(place): error: \(message)" }
}
