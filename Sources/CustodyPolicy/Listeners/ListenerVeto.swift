/// Why a listener refuses a change.
public struct ListenerVeto: Error, Sendable, Hashable {
    /// Why: a part of a sentence.
    public let reason: String
    /// Whether asking again later may help. A guest is told to in that case.
    public let isTransient: Bool

    /// A refusal.
    public init(_ reason: String, isTransient: Bool = false) {
        self.reason = reason
        self.isTransient = isTransient
    }
}
