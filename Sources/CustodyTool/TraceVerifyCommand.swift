import ArgumentParser
import CustodyConfiguration
import CustodyOptions
import CustodyTrace
import SimulationBackend

/// `custody trace verify`: whether a trace can be.
struct TraceVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Hold every line of a trace against those before it, and show the first that cannot be.",
        discussion: """
            The lines are held against a naive account of ownership, leases and hand-overs. A line that was changed, left \
            out or added, and a trace that was cut, do not fit.
            """
    )

    @Argument(help: "The trace.")
    var file: String

    @Flag(help: "Accept a trace that its writer has not closed: it is being written, or the process has crashed.")
    var open = false

    func run() throws {
        try ExitCode.reporting {
            let result = try TraceVerifier(file, acceptsOpenEnd: open, contradiction: contradiction).verify()
            result.notes.forEach { TraceCommand.reportNote($0) }
            if let error = result.error {
                report("\(error)")
                throw result.isTrace ? ExitCode.failure : ExitCode.dataError
            }
            try print(
                "\(file): \(result.traces) traces, \(result.lines) lines, each of which can follow those before it"
            )
        }
    }

    /// What is wrong with the configuration in a header, or otherwise than in the header.
    private func contradiction(_ header: TraceHeader) -> String? {
        do throws(ConfigurationError) {
            let name = SimulationProvider().name
            let place = SourceLocation(file: file, line: 1, column: 1)
            let rules = try TraceRules.configuration(in: header, of: file, for: name, at: place, .linked)
            return rules.flatMap { TraceRules.contradiction($0, header) }
        } catch {
            return
                "the \(TraceRules.name) is wrong at \(error.location.line):\(error.location.column): \(error.message)"
        }
    }
}
