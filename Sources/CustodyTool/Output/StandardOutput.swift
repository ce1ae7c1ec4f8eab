import Custody
import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Standard output. What it does not take is an error.
enum StandardOutput {
    private struct State {
        var buffer: [UInt8] = []
        var error: Errno?
    }

    private static let state = Locked(State())
    private static let isTerminal = isatty(STDOUT_FILENO) != 0
    /// How much is gathered for one system call, in bytes.
    private static let bufferSize = 1 << 16

    /// Writes a text as it is: it has nothing in it that a terminal must not get.
    static func write(_ text: String) throws(OutputError) {
        let isFull = state.withLock { state in
            state.buffer += text.utf8
            return state.buffer.count >= bufferSize
        }
        if isFull || isTerminal { try flush() }
    }

    /// Writes what has been gathered.
    ///
    /// - Throws: ``OutputError``, from the first failure on.
    static func flush() throws(OutputError) {
        let error: Errno? = state.withLock { state in
            guard state.error == nil, !state.buffer.isEmpty else { return state.error }
            do {
                _ = try FileDescriptor.standardOutput.writeAll(state.buffer)
            } catch {
                state.error = error as? Errno ?? .ioError
            }
            state.buffer.removeAll(keepingCapacity: true)
            return state.error
        }
        if let error { throw OutputError(error) }
    }

    /// Writes lines to standard output. What they have from files, guests and back ends gets to no terminal raw.
    static func print(_ text: String) throws(OutputError) { try write(text.printableLines + "\n") }
}

/// Writes lines to standard output. The standard library's function of this name says nothing of what is lost.
func print(_ text: String) throws(OutputError) { try StandardOutput.print(text) }
