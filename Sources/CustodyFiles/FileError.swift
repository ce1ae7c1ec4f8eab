/// Why a file cannot be read or written: a part of a sentence, without the file's name.
package struct FileError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Why.
    package let description: String

    package init(_ description: String) { self.description = description }
}
