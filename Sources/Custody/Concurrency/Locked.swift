#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A value behind a lock that is held for a moment.
///
/// It is a POSIX mutex that whoever comes first takes. The standard library's `Mutex` is a priority-inheriting futex on
/// Linux: the thread that releases it hands it to the one that has slept longest, and nobody can take it until that one
/// has woken up. As soon as several threads meet at such a lock, each acquisition costs a switch of context. This one
/// stays free for threads that run, and a thread spins for a moment before it sleeps. The thread sanitizer knows it.
@safe package struct Locked<Value: ~Copyable & Sendable>: ~Copyable, Sendable {
    /// The lock and the value, at one address for life.
    @unsafe private struct Storage: ~Copyable {
        var mutex = unsafe pthread_mutex_t()
        var acquisitions: UInt64 = 0
        #if DEBUG
            var mostPieces = 0
        #endif
        var value: Value

        init(_ value: consuming Value) { unsafe self.value = value }
    }

    // Sendable: the pointer never changes, and what it points to is touched only with its mutex held.
    private nonisolated(unsafe) let storage: UnsafeMutablePointer<Storage>

    package init(_ value: consuming Value) {
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: Storage(value))
        var attributes = pthread_mutexattr_t()
        unsafe pthread_mutexattr_init(&attributes)
        #if canImport(Glibc)
            unsafe pthread_mutexattr_settype(&attributes, CInt(PTHREAD_MUTEX_ADAPTIVE_NP))
        #endif
        unsafe pthread_mutex_init(&storage.pointee.mutex, &attributes)
        unsafe pthread_mutexattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_mutex_destroy(&storage.pointee.mutex)
        unsafe storage.deinitialize(count: 1)
        unsafe storage.deallocate()
    }

    /// Runs `body` with the lock held.
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        unsafe pthread_mutex_lock(&storage.pointee.mutex)
        defer { unsafe pthread_mutex_unlock(&storage.pointee.mutex) }
        unsafe storage.pointee.acquisitions &+= 1
        #if DEBUG
            let before = PieceCounter.value
            defer { unsafe storage.pointee.mostPieces = max(storage.pointee.mostPieces, PieceCounter.value - before) }
        #endif
        return try unsafe body(&storage.pointee.value)
    }

    #if DEBUG
        /// The most pieces of page maps that were looked at while the lock was held once, since this was last asked: for tests
        /// that bound it.
        package func takeMostPieces() -> Int {
            unsafe pthread_mutex_lock(&storage.pointee.mutex)
            defer { unsafe pthread_mutex_unlock(&storage.pointee.mutex) }
            defer { unsafe storage.pointee.mostPieces = 0 }
            return unsafe storage.pointee.mostPieces
        }
    #endif

    /// How often the lock has been taken, this time included: for tests that bound it.
    package var acquisitions: UInt64 {
        unsafe pthread_mutex_lock(&storage.pointee.mutex)
        defer { unsafe pthread_mutex_unlock(&storage.pointee.mutex) }
        unsafe storage.pointee.acquisitions &+= 1
        return unsafe storage.pointee.acquisitions
    }
}
