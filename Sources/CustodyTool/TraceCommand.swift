import ArgumentParser
import CustodyTrace

/// `custody trace`: what is in a trace, and whether it can be.
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Show a trace, count what is in it, or hold its lines against each other.",
        discussion: """
            `custody run --trace FILE` writes one, and so does a monitor that has a TraceWriter.

            Exit codes: 0 for success, 1 for a trace that cannot be, 64 when the command line is wrong, 65 when the file \
            cannot be read or is none of a trace.
            """,
        subcommands: [TraceShowCommand.self, TraceStatsCommand.self, TraceVerifyCommand.self]
    )

    /// Says what was passed over, where something was.
    static func reportNote(_ note: TraceError?) {
        if let note { report("\(note.place): note: \(note.message)") }
    }
}
