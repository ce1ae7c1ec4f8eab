import Custody

/// Pages that somebody is changing: nobody else may until the claim is gone.
struct Claim: Sendable {
    /// How far the change has got. Whoever moves a claim on has it to itself until it moves it on again.
    enum Phase: Sendable, Equatable {
        /// A thread carries it out.
        case running
        /// It waits for leases; the back end has not been asked yet.
        case draining
        /// The back end completes it by itself.
        case awaiting(BackendHandover)
        /// Somebody takes it back.
        case ending
    }

    let id: UInt64
    let changes: Changes
    var phase: Phase
    /// There once the change is a pending hand-over.
    var handover: Handover?

    func covers(_ page: PageNumber) -> Bool { changes.contains { $0.range.contains(page) } }
}
