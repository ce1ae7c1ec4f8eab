import Custody
import SystemPackage

/// Standard error. What it does not take is remembered.
enum StandardError {
    private static let failure = Locked(false)

    /// Whether a message could not be written.
    static var hasFailed: Bool { failure.withLock { $0 } }

    /// Writes a text as it is. What standard output was told before is there before.
    static func write(_ text: String) {
        // What it does not take is thrown by whatever is written to it next, at the latest at the end.
        try? StandardOutput.flush()
        do {
            _ = try FileDescriptor.standardError.writeAll(text.utf8)
        } catch {
            failure.withLock { $0 = true }
        }
    }
}

/// Writes a line to standard error.
func report(_ message: String) { report(lines: [message]) }

/// Writes lines to standard error.
func report(lines: [String]) { StandardError.write(lines.map { $0.printable + "\n" }.joined()) }
