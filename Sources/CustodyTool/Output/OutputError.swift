import SystemPackage

/// Standard output took less than there was to say.
struct OutputError: Error, CustomStringConvertible {
    private let cause: Errno

    init(_ cause: Errno) { self.cause = cause }

    /// Whether nobody reads it any more.
    var isReaderGone: Bool { cause == .brokenPipe }

    var description: String { "standard output cannot be written: \(cause)" }
}
