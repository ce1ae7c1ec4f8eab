/// The answer to a request for a hand-over, in words that mean one thing each.
///
/// Version 5 answers `-EAGAIN` for two of them (lore 20250117163001.2326672-7-tabba@google.com).
@frozen
public enum Outcome: UInt8, CaseIterable, Sendable {
    /// No answer yet, or an operation that hands nothing over.
    case none
    /// The page changed hands, or had done so before.
    case completed
    /// Host mappings are in the way and nothing is registered: unmap, then ask again.
    case blockedByMapping
    /// Other references are in the way and nothing is registered: ask again.
    case blockedByReferences
    /// Registered: it completes by itself when the last reference is dropped.
    case pending
    /// Somebody made the page shared again while the hand-over was pending.
    case cancelled
    /// An error: see the kernel's result.
    case failed

    /// Whether the answer is `blocked`: nothing is registered and something has to go first.
    @inlinable
    public var isBlocked: Bool { self == .blockedByMapping || self == .blockedByReferences }

    /// The answer in words.
    public var text: String {
        switch self {
        case .none: "–"
        case .completed: "completed"
        case .blockedByMapping: "blocked by a mapping, nothing registered"
        case .blockedByReferences: "blocked by a reference, nothing registered"
        case .pending: "pending, registered"
        case .cancelled: "cancelled"
        case .failed: "error"
        }
    }
}
