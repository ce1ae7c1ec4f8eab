import Custody

/// Hands what is left of a controller to its executor.
///
/// It is the last thing that a controller destroys, so that what is left is not let go of by the thread that let go of
/// the controller, which may have to be quick: a back end's end calls the system.
@safe final class Farewell: Sendable {
    private let executor: any CompletionExecutor
    // Taken out once, by the work that `deinit` hands over.
    private let remains = unsafe Locked<Unmanaged<ControllerRemains>?>(nil)

    init(_ executor: any CompletionExecutor) { self.executor = executor }

    /// Keeps what is left until everything else is gone.
    func keep(_ kept: ControllerRemains) {
        // The one reference that counts passes to the work below, which takes it: this thread never has the last one.
        let kept = unsafe Unmanaged.passRetained(kept)
        unsafe remains.withLock { unsafe $0 = kept }
    }

    deinit {
        guard let kept = unsafe remains.withLock({ unsafe $0 }) else { return }
        executor.submit { unsafe kept.takeRetainedValue().end() }
    }
}
