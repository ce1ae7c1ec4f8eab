import Custody

/// Keeps the processors of an adopted machine out of the guest, as its monitor does it.
final class MonitorGate: Quiescence {
    private let monitor: any MachineMonitor
    private let limit: Duration
    private let isClosed = Monitor(false)

    /// A gate that gives the monitor so long to close it.
    init(_ monitor: any MachineMonitor, limit: Duration) {
        self.monitor = monitor
        self.limit = limit
    }

    func withProcessorsOut<Result: ~Copyable>(
        _ body: () throws(BackendError) -> Result
    ) throws(BackendError) -> Result {
        _ = isClosed.wait { isClosed -> Void? in
            guard !isClosed else { return nil }
            isClosed = true
            return ()
        }
        defer { isClosed.update { $0 = false } }
        guard monitor.pauseProcessors(within: limit) else {
            throw BackendError(
                .guestFailed,
                "the machine's monitor did not take its virtual processors out of the guest within \(limit)"
            )
        }
        defer { monitor.resumeProcessors() }
        return try body()
    }
}
