public import Custody

/// Why a request was not carried out. Nothing has changed, unless the cause is a back end that is lost.
public struct ConversionError: Error, Sendable {
    /// The kind of refusal. More kinds may come; switch with a default.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// The code's name.
        public let rawValue: String

        /// A code of the given name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// Part of the range is not RAM.
        public static let hole = Code(rawValue: "hole")
        /// The range is no range, or not in units of the back end's granularity.
        public static let misaligned = Code(rawValue: "misaligned")
        /// There is no such change of ownership.
        public static let illegal = Code(rawValue: "illegal")
        /// The policy said no.
        public static let denied = Code(rawValue: "denied")
        /// A listener refused.
        public static let vetoed = Code(rawValue: "vetoed")
        /// Another change of some of the pages is under way.
        public static let busy = Code(rawValue: "busy")
        /// As many hand-overs are pending as the limits allow.
        public static let tooManyPending = Code(rawValue: "too-many-pending")
        /// A policy, a listener or an observer of the controller asked while it was called: what it was called about is
        /// not over.
        public static let reentrant = Code(rawValue: "reentrant")
        /// The back end cannot do what is needed.
        public static let unsupported = Code(rawValue: "unsupported")
        /// The back end failed; the cause says how.
        public static let backend = Code(rawValue: "backend")
    }

    /// The kind of refusal.
    public let code: Code
    /// What is wrong: one sentence.
    public let message: String
    /// The pages in question.
    public let range: PageRange?
    /// The hand-over that is in the way, where one is.
    public let ticket: TicketID?
    /// What the back end said, where it did.
    public let cause: BackendError?

    /// Describes a refusal.
    public init(
        _ code: Code,
        _ message: String,
        range: PageRange? = nil,
        ticket: TicketID? = nil,
        cause: BackendError? = nil
    ) {
        self.code = code
        self.message = message
        self.range = range
        self.ticket = ticket
        self.cause = cause
    }
}

extension ConversionError {
    /// Whether asking for the same again later may work: a guest is told to then.
    public var isTransient: Bool {
        switch code {
        case .busy, .tooManyPending: true
        default: cause?.code.isTransient ?? false
        }
    }

    /// The code, the message and the cause in one line: what timelines, events and traces say of a refusal.
    package var summary: String { BackendError.summary(code.rawValue, message, cause?.summary) }
}

extension ConversionError: CustomStringConvertible {
    /// The message, the range and the cause.
    public var description: String {
        var text = message
        if let range { text += " [\(range)]" }
        if let cause { text += ": \(cause)" }
        return text
    }
}
