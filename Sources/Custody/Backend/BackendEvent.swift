/// What a back end reports without having been asked.
public enum BackendEvent: Sendable {
    /// A pending hand-over has come to its end: the pages have changed hands.
    case handoverCompleted(BackendHandover, ContentsEffect)
    /// A pending hand-over was given up; the pages are in the ownership before.
    case handoverFailed(BackendHandover, BackendError)
    /// The guest or what runs it is gone. No call will succeed any more.
    case lost(BackendError)
}
