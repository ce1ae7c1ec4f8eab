/// Why a line cannot follow those before it.
public struct TraceContradiction: Error, Sendable, Hashable, CustomStringConvertible {
    /// Why: one sentence.
    public let description: String

    /// Whether it is about what other lines say of pages, leases and hand-overs, rather than about the line itself and its
    /// request: where lines are missing, one of those may be the reason.
    let isOfState: Bool

    init(_ description: String, isOfState: Bool = false) {
        self.description = description
        self.isOfState = isOfState
    }

    /// The error of a line that this is about.
    func at(_ entry: Trace.Entry) -> TraceError { entry.error("\(entry.record.event): \(self)") }
}
