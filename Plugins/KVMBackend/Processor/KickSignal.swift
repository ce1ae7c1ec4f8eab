import CKVM
import Custody
import SystemPackage

/// The real-time signal that takes a virtual processor's thread out of the guest. Its handler does nothing.
///
/// It belongs to the process: whoever sets it to be ignored, or to end the process, is corrected before the next kick; a
/// handler of somebody's is an error, or goes where there is no other way to keep a promise.
struct KickSignal: Sendable, Hashable {
    /// The signal's number.
    let number: Int32

    /// Claims a signal that nobody handles.
    ///
    /// - Parameter wanted: The one to claim; `nil` for the highest that is free.
    /// - Throws: `BackendError` with code `invalidArgument` for a number that is no real-time signal's, with
    ///   `resourcesExhausted` where somebody handles it, or all of them.
    init(_ wanted: Int32?) throws(BackendError) {
        let result = wanted == 0 ? -Errno.invalidArgument.rawValue : ckvm_kick_claim(wanted ?? 0)
        guard result < 0 else {
            number = result
            return
        }
        guard let wanted else {
            throw BackendError(.resourcesExhausted, "every real-time signal has a handler: none is left for kicks")
        }
        guard Errno(rawValue: -result) == .invalidArgument else {
            throw BackendError(
                .resourcesExhausted,
                "signal \(wanted) cannot be the kick signal, because somebody handles it: choose another one"
            )
        }
        throw BackendError(.invalidArgument, "signal \(wanted) cannot be the kick signal: it is no real-time signal")
    }

    /// Sees to it that kicks come to this back end's handler.
    ///
    /// - Throws: `BackendError` with code `guestFailed` where somebody has a handler for the signal by now; it stays.
    func restore() throws(BackendError) {
        guard ckvm_kick_restore(number, 0) == 0 else {
            throw BackendError(
                .guestFailed,
                "signal \(number), which takes processors out of the guest, has got a handler of somebody else's: choose "
                    + "another one with ‘kick-signal’"
            )
        }
    }

    /// The same, whoever has a handler for it.
    func takeBack() { _ = ckvm_kick_restore(number, 1) }

    /// Lets kicks through to the calling thread.
    func admit() { _ = ckvm_kick_admit(number) }

    /// Kicks a thread, which lives.
    func kick(_ thread: pthread_t) { _ = ckvm_kick(thread, number) }
}
