/// What a step waits for.
@frozen
public enum Wait: UInt8, CaseIterable, Sendable {
    /// Nothing: the step was carried out.
    case none
    /// The invalidate lock, which somebody else holds.
    case invalidateLock
    /// The offsets lock, which somebody else holds.
    case offsetsLock
    /// The folio lock, which somebody else holds.
    case folioLock
    /// A lock that the actor itself holds: it waits for ever.
    case ownLock
    /// A count above zero: the page-cache look-up tries again for as long as it is zero.
    case count
    /// The end of a hand-over that the actor believes to be registered.
    case handover
    /// Work (the completer), or the end of all work (a teardown that drains it).
    case work

    /// The reason in words.
    public var text: String {
        switch self {
        case .none: "nothing"
        case .invalidateLock: "invalidate_lock"
        case .offsetsLock: "offsets_lock"
        case .folioLock: "folio lock"
        case .ownLock: "a lock it holds itself"
        case .count: "a reference count above zero"
        case .handover: "the hand-over to end"
        case .work: "work"
        }
    }
}
