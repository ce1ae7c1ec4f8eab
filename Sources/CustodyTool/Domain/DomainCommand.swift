import ArgumentParser
import Custody

/// `custody domain`: what domains of libvirt have, or have left, on this machine.
struct DomainCommand: ParsableCommand {
    #if Libvirt
        private static let subcommands: [any ParsableCommand.Type] = [
            DomainListCommand.self, DomainShowCommand.self, DomainCleanCommand.self,
        ]
    #else
        private static let subcommands: [any ParsableCommand.Type] = []
    #endif

    static let configuration = CommandConfiguration(
        commandName: "domain",
        abstract: "List the memory files of libvirt's domains and who has them, and remove what nobody has.",
        discussion: """
            A domain outlives its process, and so do its memory files. The next run of the same domain goes on with them; \
            `fresh: true` in its configuration ends it and makes another one.

            Exit codes: 0 for success, 64 when the command line is wrong, 69 when a directory cannot be read, there is no \
            such domain, or what was named cannot be removed, 78 when a file is wrong.
            """,
        subcommands: subcommands
    )

    #if !Libvirt
        @Argument(parsing: .captureForPassthrough, help: .hidden)
        var arguments: [String] = []

        func run() throws {
            report("custody: this tool was built without the trait Libvirt: it knows no domains")
            throw ExitCode.unavailable
        }
    #endif
}
