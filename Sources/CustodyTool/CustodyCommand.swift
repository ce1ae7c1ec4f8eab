import ArgumentParser

/// The command line tool.
struct CustodyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "custody",
        abstract: "Who may touch this guest page now, and when may the other side?",
        discussion: """
            Every command exits with 74 when standard output, or standard error for a note, takes less than there is to \
            say: it is closed, or the disk is full.
            """,
        subcommands: [
            RunCommand.self, ProbeCommand.self, ExplainCommand.self, CheckCommand.self, CheckConfigCommand.self,
            TraceCommand.self, ReplayCommand.self, MapCommand.self, DomainCommand.self,
        ]
    )
}
