public import Custody

/// A failure of the back end, as a trace has it.
public struct TraceFailure: Error, Sendable, Hashable, Codable {
    /// The kind of failure, for example `resources-exhausted`.
    public let code: String
    /// What happened.
    public let message: String
    /// The pages in question.
    public let range: PageRange?
    /// What it was caused by, in words.
    public let cause: String?

    /// The failure as a value that can be written.
    public init(_ error: BackendError) {
        code = error.code.rawValue
        message = error.message
        range = error.range
        cause = error.causeText
    }

    /// The failure as a back end reports it.
    public var error: BackendError {
        BackendError(
            BackendError.Code(rawValue: code),
            message,
            range: range,
            cause: cause.map { TraceCause(text: $0) }
        )
    }
}

extension TraceFailure: CustomStringConvertible {
    /// The code, the message and the cause.
    public var description: String { BackendError.summary(code, message, cause) }
}

/// The words that are left of an error's cause.
struct TraceCause: Error, CustomStringConvertible {
    let text: String
    var description: String { text }
}
