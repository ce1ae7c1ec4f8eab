/// Where a value of a configuration was given: a place in a file, or an option of a command line.
public struct SourceLocation: Sendable, Hashable {
    /// Who chose the text that stands there.
    public enum Origin: Sendable, Hashable {
        /// It is in a file that the user named.
        case file
        /// It is in a file that another file names. What is in there may be anybody's: errors do not quote it.
        case includedFile
        /// It is on the command line.
        case option
    }

    /// The file, as the user or another file named it, or the option.
    public let file: String
    /// The line, from 1.
    public let line: Int
    /// The column, from 1.
    public let column: Int
    /// Who chose what stands there.
    public let origin: Origin

    /// A place in a file.
    public init(file: String, line: Int, column: Int, isIncluded: Bool = false) {
        self.file = file
        self.line = line
        self.column = column
        origin = isIncluded ? .includedFile : .file
    }

    /// An option of a command line, for example `--seed`.
    public init(option: String) {
        file = option
        line = 1
        column = 1
        origin = .option
    }

    /// What stands there, for a message: in quotation marks as far as 64 characters go, or `other` where it is not to be
    /// quoted.
    public func quoting(_ text: String, or other: String) -> String { origin == .includedFile ? other : text.quoted }
}

extension SourceLocation: CustomStringConvertible {
    /// File, line and column as compilers print them, or the option.
    public var description: String { origin == .option ? file : "\(file):\(line):\(column)" }
}
