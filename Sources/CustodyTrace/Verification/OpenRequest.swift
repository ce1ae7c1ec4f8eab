import Custody

/// A request that has no answer yet.
struct OpenRequest: Sendable {
    /// The number of the request among all of them.
    let number: UInt64
    let request: TraceRequest
    var verdict: TraceDecision.Verdict?
    var progress = ChangeProgress()
    /// The number of events before it: of all threads, and of its own.
    let before: (all: UInt64, own: UInt64)

    /// Whether the policy lets it change pages.
    var isAllowed: Bool { verdict == .allow || verdict == .clamp }
}
