// `timespec` is in two modules of C headers; which of them the compiler finds it in depends on what it has loaded before.
import SwiftOverlayShims

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A value behind a lock that threads can wait on for a change.
///
/// ``Locked`` is what everything without a blocking wait uses; this is for the few places where a thread that is not one
/// of Swift's cooperative pool (a virtual processor's, a caller's own) has to sleep.
@safe package final class Monitor<Value: ~Copyable & Sendable>: Sendable {
    /// The lock, the condition and the value, at one address for life.
    @unsafe private struct Storage: ~Copyable {
        var mutex = unsafe pthread_mutex_t()
        var condition = pthread_cond_t()
        /// How many threads wait for the condition.
        var sleepers = 0
        var value: Value

        init(_ value: consuming Value) { unsafe self.value = value }
    }

    // Sendable: the pointer never changes, and what it points to is touched only with its mutex held.
    private nonisolated(unsafe) let storage: UnsafeMutablePointer<Storage>

    package init(_ value: consuming Value) {
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: Storage(value))
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(&storage.pointee.condition, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
        unsafe pthread_mutex_init(&storage.pointee.mutex, nil)
    }

    deinit {
        unsafe pthread_cond_destroy(&storage.pointee.condition)
        unsafe pthread_mutex_destroy(&storage.pointee.mutex)
        unsafe storage.deinitialize(count: 1)
        unsafe storage.deallocate()
    }

    /// Runs `body` with the lock held, and then wakes every waiter, if there is one.
    package func update<Result: ~Copyable, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        unsafe pthread_mutex_lock(&storage.pointee.mutex)
        defer { unlock(waking: true) }
        return try unsafe body(&storage.pointee.value)
    }

    /// Wakes after the lock has been released: a waiter that is woken before has to wait once more, for the lock.
    private func unlock(waking isToWake: Bool) {
        let isAwaited = unsafe isToWake && storage.pointee.sleepers > 0
        unsafe pthread_mutex_unlock(&storage.pointee.mutex)
        if isAwaited { unsafe pthread_cond_broadcast(&storage.pointee.condition) }
    }

    /// How many threads wait at the moment, for tests that let them go only then.
    package var waiting: Int {
        unsafe pthread_mutex_lock(&storage.pointee.mutex)
        defer { unlock(waking: false) }
        return unsafe storage.pointee.sleepers
    }

    /// Sleeps until `body` returns a value or `timeout` is over; `nil` after that. Spurious wake-ups are seen to.
    package func wait<Result>(for timeout: Duration? = nil, _ body: (inout Value) -> Result?) -> Result? {
        let deadline = timeout.map(Monitor.deadline(after:))
        unsafe pthread_mutex_lock(&storage.pointee.mutex)
        var isChanged = false
        defer { unlock(waking: isChanged) }
        while true {
            if let result = unsafe body(&storage.pointee.value) {
                isChanged = true
                return result
            }
            unsafe storage.pointee.sleepers += 1
            defer { unsafe storage.pointee.sleepers -= 1 }
            if var deadline {
                let status = unsafe pthread_cond_timedwait(
                    &storage.pointee.condition,
                    &storage.pointee.mutex,
                    &deadline
                )
                if status == ETIMEDOUT {
                    let result = unsafe body(&storage.pointee.value)
                    isChanged = result != nil
                    return result
                }
            } else {
                unsafe pthread_cond_wait(&storage.pointee.condition, &storage.pointee.mutex)
            }
        }
    }

    private static func deadline(after timeout: Duration) -> timespec {
        var now = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &now)
        let (seconds, attoseconds) = max(timeout, .zero).components
        let nanoseconds = Int64(now.tv_nsec) + attoseconds / 1_000_000_000
        let (sum, overflow) = Int64(now.tv_sec).addingReportingOverflow(seconds)
        let (whole, carry) = sum.addingReportingOverflow(nanoseconds / 1_000_000_000)
        return timespec(
            tv_sec: overflow || carry ? .max : Int(whole),
            tv_nsec: Int(nanoseconds % 1_000_000_000)
        )
    }
}
