import Synchronization
import SystemPackage

@testable import KVMBackend

/// A kernel, the real one unless another is given, except that a chosen call fails.
final class FailingKernel: Kernel {
    private struct State {
        var countdown: Int?
        var errno = Errno.noMemory
        var failures = 0
        var calls: [SystemCall] = []
        var isFailingAlways = false
    }

    private let kernel: any Kernel
    private let state = Mutex(State())
    private let concerns: @Sendable (SystemCall) -> Bool

    /// Counts the calls that `concerns` is true of.
    init(_ kernel: any Kernel = LinuxKernel(), concerns: @escaping @Sendable (SystemCall) -> Bool) {
        self.kernel = kernel
        self.concerns = concerns
    }

    /// Lets the `n`-th call from now on fail (from 1), and with `always` every one after it too.
    func fail(_ n: Int?, with errno: Errno = .noMemory, always: Bool = false) {
        state.withLock { state in
            state.countdown = n
            state.errno = errno
            state.failures = 0
            state.isFailingAlways = always
            state.calls = []
        }
    }

    /// How many calls have been made to fail.
    var failures: Int { state.withLock { $0.failures } }

    /// The calls made since the last ``fail(_:with:always:)``.
    var calls: [SystemCall] { state.withLock { $0.calls } }

    func perform(_ call: SystemCall) throws(Errno) -> Int {
        guard concerns(call) else { return try kernel.perform(call) }
        let errno = state.withLock { state -> Errno? in
            state.calls.append(call)
            guard let countdown = state.countdown else { return nil }
            state.countdown = max(0, countdown - 1)
            guard countdown == 1 || (state.isFailingAlways && countdown == 0) else { return nil }
            state.failures += 1
            return state.errno
        }
        if let errno { throw errno }
        return try kernel.perform(call)
    }
}
