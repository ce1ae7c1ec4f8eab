import Custody

/// What a request comes to: the changes that it needs, and on which terms they are made.
struct Work: Sendable {
    /// The number of the claim.
    let id: ClaimID
    let request: ConversionRequest
    /// The part of the request that this is about.
    let range: PageRange
    let changes: Changes
    let terms: PolicyTerms

    /// What may be waited for, and until when: `nil` where the request is to be told who is in the way.
    var patience: Duration?? { Work.patience(request, terms) }

    static func patience(_ request: ConversionRequest, _ terms: PolicyTerms) -> Duration?? {
        guard case .handOver(let deadline) = request.whenHeld else { return nil }
        return .some(PolicyTerms.least(deadline, terms.deadline))
    }
}
