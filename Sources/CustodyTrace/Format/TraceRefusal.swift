public import Custody
public import CustodyPolicy

/// Why a request was not carried out, as a trace has it.
public struct TraceRefusal: Error, Sendable, Hashable, Codable {
    /// The kind of refusal, for example `denied`.
    public let code: String
    /// What is wrong.
    public let message: String
    /// The pages in question.
    public let range: PageRange?
    /// The hand-over that is in the way, where one is.
    public let ticket: TicketID?
    /// What the back end said, where it did.
    public let cause: TraceFailure?

    /// The refusal as a value that can be written.
    public init(_ error: ConversionError) {
        code = error.code.rawValue
        message = error.message
        range = error.range
        ticket = error.ticket
        cause = error.cause.map { TraceFailure($0) }
    }
}

extension TraceRefusal: CustomStringConvertible {
    /// The code, the message and the cause.
    public var description: String { BackendError.summary(code, message, cause?.description) }
}
