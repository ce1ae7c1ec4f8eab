/// One thing that an ``Oracle`` looks at. Each is a part of a ``Promise``, or says what the events of one controller can be.
public enum OracleRule: String, Sendable, Hashable, CaseIterable {
    /// The host gets pages that its ownership allows it, and is refused no others.
    case leasedAsOwned = "leased-as-owned"
    /// An access that an enforcing back end lets through is one that the ownership allows.
    case enforced
    /// A change is one that the table of moves has.
    case legalMove = "legal-move"

    /// Pages are in the ownership that the events come to.
    case ownershipAsTold = "ownership-as-told"
    /// A request or hand-over that did not succeed has changed no page.
    case failureChangesNothing = "failure-changes-nothing"
    /// The pages before the one that an answer stopped at are in the ownership asked for.
    case prefixIsDone = "prefix-is-done"
    /// An answer counts the pages that its steps have changed.
    case pagesAreCounted = "pages-are-counted"

    /// No page is prepared for the ownership that it is in, and nobody waits for it.
    case noOp = "no-op"

    /// A hand-over is registered once, for a reason, and ends once.
    case endsOnce = "ends-once"
    /// No page is taken from the host while the host holds it, and an answer names who holds it, and nobody else.
    case waitsForHolders = "waits-for-holders"
    /// A hand-over that is complete has changed all of its pages.
    case isWhollyDone = "is-wholly-done"
    /// A hand-over expires at its deadline, and not before.
    case expiresWhenDue = "expires-when-due"
    /// A hand-over that nobody holds up any more is carried out.
    case isNotForgotten = "is-not-forgotten"

    /// Nothing but the release itself happens on the releasing thread before it returns.
    case releaseReturns = "release-returns"

    /// Discarding contents leaves the ownership.
    case discardKeepsOwnership = "discard-keeps-ownership"
    /// What became of the bytes is what the back end declares and what was asked for.
    case contentsAsDeclared = "contents-as-declared"
    /// An answer says of the bytes what its steps say.
    case contentsAreSummed = "contents-are-summed"

    /// A change is prepared for, committed and finished, in this order, by the request or hand-over that it is of.
    case stepsInOrder = "steps-in-order"
    /// What was made before a veto is undone.
    case vetoUndoes = "veto-undoes"

    /// Only numbers that are no range of pages are refused as such.
    case malformedIsRefused = "malformed-is-refused"
    /// A request does no more than its bound.
    case requestIsBounded = "request-is-bounded"
    /// No more hand-overs are pending than the limits allow.
    case pendingIsBounded = "pending-is-bounded"

    /// Neighbouring pages that change alike are one change.
    case runsAreMaximal = "runs-are-maximal"

    /// The policy is asked before anything is changed or waited for, and what becomes of a request is what it said.
    case isDecided = "is-decided"
    /// The events are those of one controller: an answer is of a request, and nothing is missing.
    case isRecorded = "is-recorded"

    /// The promise that the rule is a part of; `nil` where it is about the record itself.
    public var promise: Promise? {
        switch self {
        case .leasedAsOwned, .enforced, .legalMove: .access
        case .ownershipAsTold, .failureChangesNothing, .prefixIsDone, .pagesAreCounted: .atomicity
        case .noOp: .noOp
        case .endsOnce, .waitsForHolders, .isWhollyDone, .expiresWhenDue, .isNotForgotten: .handover
        case .releaseReturns: .release
        case .discardKeepsOwnership, .contentsAsDeclared, .contentsAreSummed: .contents
        case .stepsInOrder, .vetoUndoes: .order
        case .malformedIsRefused, .requestIsBounded, .pendingIsBounded: .untrustedGuest
        case .runsAreMaximal: .runs
        case .isDecided, .isRecorded: nil
        }
    }
}
