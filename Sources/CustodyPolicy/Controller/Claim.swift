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

    let work: Work
    var phase: Phase
    /// How many of its changes the back end has made and can still take back, while it completes the next one by itself;
    /// for the ones after that it holds reservations.
    var made = 0
    /// There once the change is a pending hand-over.
    var handover: Handover?
    /// The last listener that is told of this change as it goes; `nil` before it has begun. Listeners that join later
    /// learn what became of the pages when it is over.
    var lastListener: ListenerID?

    var changes: Changes { work.changes }

    /// Whether the contents of some of the pages must stay because a change of them may be taken back.
    func keepsContents(of range: PageRange) -> Bool {
        switch phase {
        case .draining: false
        case .awaiting: (0..<changes.count).contains { $0 != made && changes[$0].range.overlaps(range) }
        case .running, .ending: overlaps(range)
        }
    }
    func overlaps(_ range: PageRange) -> Bool { changes.contains { $0.range.overlaps(range) } }
}
