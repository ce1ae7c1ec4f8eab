import Custody
import CustodyPolicy

/// This monitor's own rule: pages that hold secrets never become shared, and the guest shares a few pages at a time.
struct SecretsStayPrivate: Policy {
    let secrets: PageRange
    let maximumShare: UInt64

    func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard request.target == .shared else { return .allow }
        if request.range.overlaps(secrets) { return deny("\(secrets) holds secrets") }
        if request.range.count > maximumShare { return deny("at most \(maximumShare) pages at a time") }
        return .allow
    }

    private func deny(_ text: String) -> PolicyDecision { .deny(PolicyReason(rule: "secrets", text)) }
}
