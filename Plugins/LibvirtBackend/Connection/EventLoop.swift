#if Libvirt
import CLibvirt
import Custody
import Glibc

/// The one thread on which libvirt of this process tells what happens.
///
/// Libvirt has one event implementation for a process, and it must be there before the first connection is opened. The
/// thread lives as long as the process. A program that has registered an implementation of its own before keeps it: it
/// calls ``useOwnImplementation()`` first.
package enum EventLoop {
    private enum State: Sendable {
        case stopped
        case running
        case foreign
    }

    private static let state = Locked(State.stopped)

    /// Leaves libvirt's events to the program, which has called `virEventRegisterImpl` and runs it.
    package static func useOwnImplementation() { state.withLock { $0 = .foreign } }

    /// Starts the thread, once.
    static func start(_ gate: any CallGate) throws(VirError) {
        try state.withLock { state throws(VirError) in
            guard state == .stopped else { return }
            try gate.number(.eventRegisterDefault) { virEventRegisterDefaultImpl() }
            do throws(BackendError) {
                try Thread.start {
                    // A round that fails is one that polled in vain; the next one polls anew.
                    while true { if virEventRunDefaultImpl() < 0 { virResetLastError() } }
                }
            } catch {
                throw VirError(code: .internalError, message: error.message, call: .eventRegisterDefault)
            }
            state = .running
        }
    }

    /// Has libvirt print nothing: neither errors, which are thrown, nor what a driver in this process finds unusual.
    static func silence() {
        unsafe setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0)
        unsafe virSetErrorFunc(nil, quiet)
    }

    private static let quiet: virErrorFunc = { _, _ in }
}

#endif
