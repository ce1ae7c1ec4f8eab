import Custody

/// The end of a change that the back end reported before we knew that it was waiting for it.
final class EarlyEnd: Sendable {
    /// Why the change was given up, where it was.
    let error: BackendError?
    private let committed: Locked<CommittedChange?>

    init(completed change: consuming CommittedChange) {
        error = nil
        committed = Locked(change)
    }

    init(failed error: BackendError) {
        self.error = error
        committed = Locked(nil)
    }

    func take() -> CommittedChange? { committed.withLock { $0.take() } }
}
