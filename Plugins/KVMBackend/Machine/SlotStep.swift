import Custody

/// One system call of a change, and the one that takes it back.
enum SlotStep: Sendable, Hashable {
    /// Bind a slot to a run of pages.
    case add(PageRange, Backing)
    /// Remove the slot of a run of pages.
    case remove(PageRange, Backing)
    /// Change what the host's window on a run of pages allows.
    case protect(PageRange, from: HostProtection, to: HostProtection)

    /// The step that takes this one back.
    var inverse: SlotStep {
        switch self {
        case .add(let range, let backing): .remove(range, backing)
        case .remove(let range, let backing): .add(range, backing)
        case .protect(let range, let from, let to): .protect(range, from: to, to: from)
        }
    }
}
