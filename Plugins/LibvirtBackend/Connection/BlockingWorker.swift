#if Libvirt
package import Custody

/// A thread for calls that block, for tasks that must not.
///
/// A call into libvirt takes from a millisecond to many seconds. On a thread of Swift's cooperative pool it would take
/// the place of every other task.
package struct BlockingWorker: Sendable {
    private let executor: ThreadExecutor

    /// Starts the thread.
    package init() throws(BackendError) { executor = try ThreadExecutor() }

    /// Runs `body` on the thread and suspends the task until it is done.
    package func run<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
            executor.submit {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}

#endif
