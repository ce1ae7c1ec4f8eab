import Custody
import Synchronization

/// The end of a change that the back end reported before we knew that it was waiting for it.
final class EarlyEnd: Sendable {
    /// Why the change was given up, where it was.
    let error: BackendError?
    private let committed: Mutex<CommittedChange?>

    init(completed change: consuming CommittedChange) {
        error = nil
        committed = Mutex(change)
    }

    init(failed error: BackendError) {
        self.error = error
        committed = Mutex(nil)
    }

    func take() -> CommittedChange? { committed.withLock { $0.take() } }
}
