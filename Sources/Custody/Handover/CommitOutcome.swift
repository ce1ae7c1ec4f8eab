/// How far a commit got. An error is thrown instead, and never mixed up with "not yet".
public enum CommitOutcome: ~Copyable, Sendable {
    /// The pages have changed hands; finish or undo it.
    case completed(CommittedChange)
    /// References that the back end sees are in the way. **Nothing is registered**: they must go, then ask again.
    case blocked(by: [Blocker])
    /// Registered: the pages are in transit and change hands by themselves when the last reference is dropped.
    /// The end is reported to the observer.
    case pending(BackendHandover, blockers: [Blocker])
}
