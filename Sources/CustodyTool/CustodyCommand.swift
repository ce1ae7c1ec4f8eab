import ArgumentParser

/// The command line tool.
@main
struct CustodyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "custody",
        abstract: "Who may touch this guest page now, and when may the other side?",
        subcommands: [
            RunCommand.self, ProbeCommand.self, ExplainCommand.self, CheckCommand.self, CheckConfigCommand.self,
            TraceCommand.self, ReplayCommand.self, MapCommand.self,
        ]
    )
}
