/// A place in a configuration file.
public struct SourceLocation: Sendable, Hashable {
    /// The file, as the user named it.
    public let file: String
    /// The line, from 1.
    public let line: Int
    /// The column, from 1.
    public let column: Int

    /// A place in a file.
    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }
}

extension SourceLocation: CustomStringConvertible {
    /// File, line and column as compilers print them.
    public var description: String { "\(file):\(line):\(column)" }
}
