import Custody

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What the tool does about signals and descriptors before anything else.
enum Signals {
    /// Whether whoever started the tool wants a broken pipe to be an error.
    private static let ignoresBrokenPipe = Locked(false)

    /// Has a full file and a broken pipe be errors of `write(2)`, and keeps files from becoming standard streams.
    ///
    /// The signals are handled rather than ignored: what is ignored, a child process would ignore as well.
    static func prepare() {
        for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) < 0 {
            // Nothing can be written to it, so that nothing said is lost in silence.
            _ = unsafe open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
        _ = handle(SIGXFSZ)
        let ignored = handle(SIGPIPE)
        ignoresBrokenPipe.withLock { $0 = ignored }
    }

    /// Handles a signal by doing nothing, unless it is ignored: returns whether it is.
    private static func handle(_ number: Int32) -> Bool {
        var action = sigaction()
        var before = sigaction()
        unsafe action.__sigaction_handler.sa_handler = { _ in }
        action.sa_flags = Int32(SA_RESTART)
        guard unsafe sigaction(number, nil, &before) == 0 else { return false }
        guard unsafe unsafeBitCast(before.__sigaction_handler.sa_handler, to: Int.self) != 1 else { return true }
        _ = unsafe sigaction(number, &action, nil)
        return false
    }

    /// Ends the process as a broken pipe does by default; returns where it is to be an error.
    static func endAsByBrokenPipe() {
        guard !ignoresBrokenPipe.withLock({ $0 }) else { return }
        _ = signal(SIGPIPE, SIG_DFL)
        raise(SIGPIPE)
    }
}
