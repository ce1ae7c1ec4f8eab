#if !THREAD_SANITIZER
    package import Synchronization
#endif

/// A value behind a lock that is held for a moment.
///
/// It is the `Mutex` of the standard library. The thread sanitizer does not see that one, which sleeps on a futex by
/// itself, and would report races that are none: a build for it has `-D THREAD_SANITIZER` and uses the POSIX lock of
/// ``Monitor``, which it knows.
package struct Locked<Value: ~Copyable & Sendable>: ~Copyable, Sendable {
    #if THREAD_SANITIZER
        private let lock: Monitor<Value>

        package init(_ value: consuming Value) { lock = Monitor(value) }

        /// Runs `body` with the lock held.
        package borrowing func withLock<Result: ~Copyable, Failure: Error>(
            _ body: (inout Value) throws(Failure) -> sending Result
        ) throws(Failure) -> sending Result {
            try lock.update(body)
        }
    #else
        @usableFromInline let lock: Mutex<Value>

        @inlinable
        package init(_ value: consuming sending Value) { lock = Mutex(value) }

        /// Runs `body` with the lock held.
        @inlinable
        package borrowing func withLock<Result: ~Copyable, Failure: Error>(
            _ body: (inout Value) throws(Failure) -> sending Result
        ) throws(Failure) -> sending Result {
            try lock.withLock { value throws(Failure) -> sending Result in try body(&value) }
        }
    #endif
}
