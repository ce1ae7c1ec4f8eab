#if Libvirt
    import ArgumentParser
    import Custody
    import LibvirtBackend

    /// `custody domain clean`: takes leftovers away.
    struct DomainCleanCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "clean",
            abstract: "Remove the memory files that nobody has, and say which ones are in use.",
            discussion: """
                Removed is what no back end has locked, no domain runs with, and nobody has open or mapped, by the kernel's \
                word. What is in use stays; naming a domain that is in use is an error (69).
                """
        )

        @Argument(help: "The domains whose files may be removed, by name or UUID; all unless named.")
        var domains: [String] = []

        @OptionGroup var place: DomainPlace

        @Flag(help: "Print JSON, for machines.")
        var json = false

        func run() throws {
            try ExitCode.reporting {
                let inventory = try place.inventory
                let found = try inventory.removeLeftovers { files in
                    domains.isEmpty || domains.contains(where: files.isOf)
                }
                try DomainReport(found.map { ($0, $0.isLeftover ? "removed" : $0.state) }).write(json: json)
                for name in domains {
                    let its = found.filter { $0.isOf(name) }
                    guard !its.isEmpty else { throw DomainFiles.none(of: name, in: inventory) }
                    if let kept = its.first(where: { !$0.isLeftover }) {
                        throw BackendError(.unavailable, "‘\(kept.path)’ is in use: \(kept.user)")
                    }
                }
            }
        }
    }
#endif
