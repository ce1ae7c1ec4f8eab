extension ThreadExecutor {
    /// Runs work that blocks on the thread, and suspends the task until it is done.
    ///
    /// A conversion takes as long as its back end does: a call into libvirt from a millisecond to many seconds. On a thread of
    /// Swift's cooperative pool it would take the place of every other task. One piece of work at a time.
    public func run<Value: Sendable, Failure: Error>(
        _ work: @escaping @Sendable () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
            submit {
                // The work keeps the thread: what is dropped with an executor that is released would never be resumed.
                withExtendedLifetime(self) {
                    do throws(Failure) {
                        continuation.resume(returning: .success(try work()))
                    } catch {
                        continuation.resume(returning: .failure(error))
                    }
                }
            }
        }
        return try result.get()
    }
}
