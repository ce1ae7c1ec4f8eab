import Custody
import Synchronization

/// A change that the back end completed before its commit had told us that it was pending.
final class EarlyCompletion: Sendable {
    private let committed: Mutex<CommittedChange?>

    init(_ change: consuming CommittedChange) { committed = Mutex(change) }

    func take() -> CommittedChange? { committed.withLock { $0.take() } }
}
