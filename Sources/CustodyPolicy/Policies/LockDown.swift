import Custody

/// No more sharing from a certain moment on, for example once the guest is launched and measured.
///
/// The host says when with ``MemoryController/mark(_:)``; there is no way back.
public struct LockDown: Policy {
    /// The name of the mark.
    public let mark: String

    /// Denies sharing once the mark is set.
    public init(after mark: String) { self.mark = mark }

    /// Denies a request to share pages after the mark.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard request.target == .shared, memory[mark] != nil else { return .allow }
        return .deny(PolicyReason(rule: "lock-down", "nothing becomes shared any more: \(mark)"))
    }
}
