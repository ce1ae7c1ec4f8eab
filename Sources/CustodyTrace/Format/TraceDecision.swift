public import Custody
public import CustodyPolicy

/// A decision of the policy as a trace has it.
public struct TraceDecision: Sendable, Hashable, Codable {
    /// What is to become of the request.
    public enum Verdict: String, Sendable, Hashable, CaseIterable, Codable {
        /// It may go on.
        case allow
        /// It may go on for some of its pages.
        case clamp
        /// Not now.
        case later
        /// Never.
        case deny
    }

    /// When something is tried again.
    public struct Retry: Sendable, Hashable, Codable {
        /// The wait before the second attempt, in nanoseconds.
        public let first: UInt64
        /// The longest wait, in nanoseconds.
        public let longest: UInt64
        /// The number of attempts after which it is given up.
        public let attempts: Int
    }

    /// What is to become of the request.
    public let verdict: Verdict
    /// The pages for which it may go on, where it may for some.
    public let range: PageRange?
    /// The time before which asking again is in vain, where one is known.
    public let until: Timestamp?
    /// The rule that decided, and why.
    public let reason: PolicyReason?
    /// The time after which a hand-over is given up, in nanoseconds.
    public let deadline: UInt64?
    /// The time after which shared pages become private again, in nanoseconds.
    public let returnsAfter: UInt64?
    /// When a back end is asked again.
    public let retry: Retry?

    /// The decision as a value that can be written.
    public init(_ decision: PolicyDecision) {
        switch decision.verdict {
        case .allow: (verdict, range, until) = (.allow, nil, nil)
        case .clampTo(let pages): (verdict, range, until) = (.clamp, pages, nil)
        case .deferUntil(let time): (verdict, range, until) = (.later, nil, time)
        case .deny: (verdict, range, until) = (.deny, nil, nil)
        }
        reason = decision.reason
        deadline = decision.terms.deadline?.traceNanoseconds
        returnsAfter = decision.terms.returnsAfter?.traceNanoseconds
        retry = decision.terms.retry.map { retry in
            Retry(
                first: retry.first.traceNanoseconds,
                longest: retry.longest.traceNanoseconds,
                attempts: retry.attempts
            )
        }
    }
}

extension TraceDecision: CustomStringConvertible {
    /// The verdict and its reason.
    public var description: String {
        var text = verdict.rawValue
        if let range { text += " \(range)" }
        if let until { text += " until \(until.rawValue) ns" }
        if let reason { text += ", \(reason)" }
        if let deadline { text += ", deadline \(deadline) ns" }
        if let returnsAfter { text += ", returns after \(returnsAfter) ns" }
        if let retry { text += ", retried from \(retry.first) to \(retry.longest) ns, \(retry.attempts) times" }
        return text
    }
}
