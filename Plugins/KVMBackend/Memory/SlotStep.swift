import Custody

/// One system call of a change, and the one that takes it back.
enum SlotStep: Sendable, Hashable {
    /// Bind a slot to a run of pages.
    case add(PageRange, Backing)
    /// Remove the slot of a run of pages.
    case remove(PageRange, Backing)
    /// Make pages private or shared, by the mode's own call.
    case convert(PageRange, to: Visibility)

    /// The step that takes this one back.
    var inverse: SlotStep {
        switch self {
        case .add(let range, let backing): .remove(range, backing)
        case .remove(let range, let backing): .add(range, backing)
        case .convert(let range, let target): .convert(range, to: target.opposite)
        }
    }
}
