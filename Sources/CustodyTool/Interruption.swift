import Custody
import Glibc

/// Shuts the back end that is at work down when the process is asked to end (SIGINT, SIGTERM, SIGHUP): a guest and its memory
/// may outlive a process that just ends.
///
/// The exit code is 128 and the signal's number. A back end that is being made is shut down when it has been made; a second
/// signal ends the process at once.
final class Interruption: Sendable {
    private struct State {
        var backend: (any MemoryBackend)?
        var signal: Int32?
    }

    private let state = Locked(State())

    /// Takes the signals over that are not ignored (nohup(1)), before there are other threads: those have them blocked, too.
    init() throws(BackendError) {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] where !Interruption.isIgnored(number) {
            unsafe sigaddset(&signals, number)
        }
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        try Thread.start { [self, signals] in
            var (set, number) = (signals, Int32(0))
            while unsafe sigwait(&set, &number) == 0 { interrupted(by: number) }
        }
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard unsafe sigaction(number, nil, &action) == 0 else { return false }
        return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == ignored
    }

    /// `SIG_IGN`, which is a cast to the type of a function.
    private static let ignored = 1

    /// Makes a back end, and has it shut down when a signal comes, or at once where one has come meanwhile.
    func watching(_ make: () throws -> any MemoryBackend) throws -> any MemoryBackend {
        let made = try make()
        let number = state.withLock { state in
            state.backend = made
            return state.signal
        }
        if let number { end(made, number) }
        return made
    }

    private func interrupted(by number: Int32) {
        let (backend, isFirst) = state.withLock { state in
            defer { state.signal = number }
            return (state.backend, state.signal == nil)
        }
        guard isFirst else { _exit(128 + number) }
        if let backend { end(backend, number) }
    }

    private func end(_ backend: any MemoryBackend, _ number: Int32) -> Never {
        backend.shutDown()
        _exit(128 + number)
    }
}
