/// Why a back end did not do what it was asked. Whatever the code: nothing has changed, unless the code is ``Code/lost``.
public struct BackendError: Error, Sendable {
    /// The kind of failure. Back ends may add their own; switch with a default.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// The code's name.
        public let rawValue: String

        /// A code of the given name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The back end cannot be used on this machine, or not by this user.
        public static let unavailable = Code(rawValue: "unavailable")
        /// The back end has no such ability; its capabilities say so.
        public static let unsupported = Code(rawValue: "unsupported")
        /// A resource ran out (memory, memory slots, descriptors). Asking again later may work.
        public static let resourcesExhausted = Code(rawValue: "resources-exhausted")
        /// An argument is not within what the back end was made with.
        public static let invalidArgument = Code(rawValue: "invalid-argument")
        /// The host's access to a page was stopped; ``BackendError/fault`` says by whom.
        public static let accessDenied = Code(rawValue: "access-denied")
        /// The guest did something that ends its run, or never answered.
        public static let guestFailed = Code(rawValue: "guest-failed")
        /// The guest was asked for pages and keeps them.
        public static let refusedByGuest = Code(rawValue: "refused-by-guest")
        /// A system call failed in a way that has no code of its own; the cause has the details.
        public static let system = Code(rawValue: "system")
        /// The guest or the machinery under it is gone, or its state is no longer known.
        public static let lost = Code(rawValue: "lost")
        /// What runs the guest cannot be reached at the moment. The back end goes on by itself when it can, and reports
        /// that to its observer.
        public static let disconnected = Code(rawValue: "disconnected")
        /// A page is poisoned: its contents are gone for good.
        public static let poisoned = Code(rawValue: "poisoned")
        /// Something else is at the pages or at what is needed for them. Asking again later may work.
        public static let busy = Code(rawValue: "busy")

        /// Whether asking for the same again later may work: a guest is told to then.
        public var isTransient: Bool { self == .resourcesExhausted || self == .disconnected || self == .busy }
    }

    /// The kind of failure.
    public let code: Code
    /// What happened and what to do about it: one sentence.
    public let message: String
    /// The pages in question, where there are any.
    public let range: PageRange?
    /// How an access was stopped, where one was.
    public let fault: HostFault?
    /// What it was caused by: an errno with its system call, a libvirt error.
    public let cause: (any Error)?

    /// Describes a failure.
    public init(
        _ code: Code,
        _ message: String,
        range: PageRange? = nil,
        fault: HostFault? = nil,
        cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.range = range
        self.fault = fault
        self.cause = cause
    }
}

extension BackendError {
    /// What it was caused by, in words: the cause, else how an access was stopped.
    package var causeText: String? { cause.map { "\($0)" } ?? fault.map { "\($0.evidence) at \($0.address)" } }

    /// The code, the message and the cause in one line: what timelines, events and traces say of a failure.
    package var summary: String { BackendError.summary(code.rawValue, message, causeText) }

    /// A failure in one line, by its code, its message and its cause.
    package static func summary(_ code: String, _ message: String, _ cause: String?) -> String {
        "\(code), \(message)" + (cause.map { ": \($0)" } ?? "")
    }
}

extension BackendError: CustomStringConvertible {
    /// The message, the range and the cause.
    public var description: String {
        var text = message
        if let range { text += " [\(range)]" }
        if let cause { text += ": \(cause)" }
        return text
    }
}
