#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A detached POSIX thread.
package enum Thread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// A number that no two threads have at the same time.
    package static var number: UInt { UInt(pthread_self()) }

    /// Runs `body` on a new thread.
    ///
    /// - Throws: ``BackendError`` with the errno of `pthread_create` in its message.
    package static func start(_ body: @escaping @Sendable () -> Void) throws(BackendError) {
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(Body(body))
        let status = unsafe pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            },
            argument.toOpaque()
        )
        guard status == 0 else {
            unsafe argument.release()
            throw BackendError(.resourcesExhausted, "no thread could be started (pthread_create: error \(status))")
        }
        pthread_detach(thread)
    }
}
