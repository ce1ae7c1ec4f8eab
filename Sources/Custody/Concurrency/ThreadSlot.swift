#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A word that each thread has for itself: 0 until the thread sets it.
package struct ThreadSlot: Sendable {
    private let key: pthread_key_t

    /// A new word; `nil` where the system has no more of them. It lasts as long as the process.
    package init?() {
        var key = pthread_key_t()
        guard unsafe pthread_key_create(&key, nil) == 0 else { return nil }
        self.key = key
    }

    /// The calling thread's word.
    ///
    /// - Complexity: O(1); nothing is allocated, and no memory is touched that another thread writes.
    package var word: UInt {
        get { unsafe UInt(bitPattern: pthread_getspecific(key)) }
        nonmutating set { _ = unsafe pthread_setspecific(key, UnsafeRawPointer(bitPattern: newValue)) }
    }
}
