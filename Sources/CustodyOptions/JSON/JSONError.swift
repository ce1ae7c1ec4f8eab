/// Why a text of JSON is not what it is read as, and where.
package struct JSONError: Error, Sendable, Hashable {
    /// What is wrong: a part of a sentence.
    package let message: String
    /// The line in the text, from 1.
    package let line: Int
    /// The column, from 1, in Unicode scalars.
    package let column: Int

    /// An error at a byte of the text.
    init(_ message: String, at offset: Int, in bytes: [UInt8]) {
        let before = bytes.prefix(offset)
        let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        self.message = message
        line = 1 + before.count { $0 == UInt8(ascii: "\n") }
        column = 1 + before[start...].count { !UTF8.isContinuation($0) }
    }
}
