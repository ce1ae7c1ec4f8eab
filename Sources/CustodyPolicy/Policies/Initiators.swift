public import Custody

/// Who may ask for an ownership: for example that the guest alone decides what becomes shared.
public struct Initiators: Policy {
    /// Who may ask, by the ownership asked for. An ownership that is not listed may be asked for by everybody.
    public let allowed: [Ownership: Set<RequesterKind>]

    /// Restricts who may ask for the listed ownerships.
    public init(_ allowed: [Ownership: Set<RequesterKind>]) { self.allowed = allowed }

    /// Denies what somebody else asks for.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard let kinds = allowed[request.target], !kinds.contains(request.requester.kind) else { return .allow }
        let text = "a \(request.requester.kind.rawValue) may not make pages \(request.target)"
        return .deny(PolicyReason(rule: "initiators", text))
    }
}
