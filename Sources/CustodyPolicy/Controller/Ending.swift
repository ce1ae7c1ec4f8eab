import Custody

/// How the pages of a claim are when it is over.
enum Ending: Sendable {
    /// In the new ownership.
    case changed
    /// In the ownership before.
    case restored
    /// As the back end found them.
    case found(PageRunMap<Ownership>)
    /// In the ownership before, but for what the guest was given and did not let go again.
    case kept(PageRunMap<Ownership>)

    var isChanged: Bool {
        guard case .changed = self else { return false }
        return true
    }

    /// The parts of a change that end in one ownership, with it.
    func forEachRun(of change: OwnershipChange, _ body: (PageRange, Ownership) -> Void) {
        switch self {
        case .changed: body(change.range, change.to)
        case .restored: body(change.range, change.from)
        case .found(let map), .kept(let map): for run in map.runs(in: change.range) { body(run.range, run.state) }
        }
    }
}
