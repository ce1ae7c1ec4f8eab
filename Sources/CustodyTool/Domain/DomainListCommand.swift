#if Libvirt
    import ArgumentParser
    import LibvirtBackend

    /// `custody domain list`: all of them.
    struct DomainListCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the directories of memory files, whose they are, and whether anybody has them."
        )

        @OptionGroup var place: DomainPlace

        @Flag(help: "Print JSON, for machines.")
        var json = false

        func run() throws {
            try ExitCode.reporting {
                try DomainReport(place.inventory.domains().map { ($0, $0.state) }).write(json: json)
            }
        }
    }
#endif
