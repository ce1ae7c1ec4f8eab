import CKVM
package import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where every system call of this back end goes through: the kernel, or a test that lets one fail.
package protocol Kernel: Sendable {
    /// Makes one call.
    ///
    /// - Returns: what the call returns: a descriptor, an address, a number, or zero.
    /// - Throws: the call's errno.
    func perform(_ call: SystemCall) throws(Errno) -> Int
}

/// How often a call is made again that signals interrupt, before it is made without them.
private let attemptsUnderSignals = 16

extension Kernel {
    /// Makes one call, with an error that names it; again where a signal has interrupted it and
    /// ``SystemCall/isRepeatedAfterSignal`` says so.
    ///
    /// Signals that come faster than the call can be made, as a profiler's may, are blocked on this thread in the end: for
    /// one attempt, which nothing then interrupts.
    @discardableResult
    func call(_ call: SystemCall) throws(KVMError) -> Int {
        do throws(Errno) { return try performThroughSignals(call) } catch { throw KVMError(call, error) }
    }

    private func performThroughSignals(_ call: SystemCall) throws(Errno) -> Int {
        guard call.isRepeatedAfterSignal else { return try perform(call) }
        for _ in 0..<attemptsUnderSignals {
            do throws(Errno) { return try perform(call) } catch { guard error == .interrupted else { throw error } }
        }
        var before = sigset_t()
        guard unsafe ckvm_signals_block(&before) == 0 else { throw .interrupted }
        defer { _ = unsafe ckvm_signals_restore(&before) }
        return try perform(call)
    }
}
