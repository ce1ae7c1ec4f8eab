#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Tells when a thread ends in the midst of something, as `pthread_exit(3)` in somebody's handler makes it: the thread comes
/// back to no caller then.
enum ThreadDeath {
    private final class Watch: Sendable {
        let body: @Sendable () -> Void
        let outer: UInt

        init(_ body: @escaping @Sendable () -> Void, outer: UInt) {
            self.body = body
            self.outer = outer
        }
    }

    /// The place where a thread keeps its innermost watch; `nil` where the system has no more such places.
    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        let status = unsafe pthread_key_create(&key) { pointer in
            var next = UInt(bitPattern: pointer)
            // From the inside to the outside, as calls would have come back.
            while let pointer = unsafe UnsafeRawPointer(bitPattern: next) {
                let watch = unsafe Unmanaged<Watch>.fromOpaque(pointer).takeRetainedValue()
                watch.body()
                next = watch.outer
            }
        }
        return status == 0 ? key : nil
    }()

    /// Runs `body`; where the thread ends within it, `end` is called on that thread as it dies. `end` must not wait for
    /// anything.
    static func watch<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result,
        onDeath end: @escaping @Sendable () -> Void
    ) throws(Failure) -> Result {
        guard let key else { return try body() }
        let outer = unsafe UInt(bitPattern: pthread_getspecific(key))
        let watch = unsafe Unmanaged.passRetained(Watch(end, outer: outer))
        unsafe pthread_setspecific(key, watch.toOpaque())
        defer {
            unsafe pthread_setspecific(key, UnsafeRawPointer(bitPattern: outer))
            unsafe watch.release()
        }
        return try body()
    }
}
