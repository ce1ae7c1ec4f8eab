import Custody

/// What keeps a machine's virtual processors out of the guest while its memory slots change: ``QuiesceGate`` for processors
/// of this package's own, ``MonitorGate`` for those of a monitor that has made its machine itself.
protocol Quiescence: Sendable {
    /// Runs `body` while no processor is in the guest. One caller at a time.
    ///
    /// - Throws: `BackendError` with code `guestFailed`, without having run `body`, where a processor does not come out
    ///   in time, or what `body` throws.
    func withProcessorsOut<Result: ~Copyable>(
        _ body: () throws(BackendError) -> Result
    ) throws(BackendError) -> Result
}
