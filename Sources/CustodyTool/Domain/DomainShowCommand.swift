#if Libvirt
    import ArgumentParser
    import Custody
    import LibvirtBackend

    /// `custody domain show`: one domain.
    struct DomainShowCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Show what there is of one domain: its directories, who has them, and each file."
        )

        @Argument(help: "The domain's name or UUID.")
        var domain: String

        @OptionGroup var place: DomainPlace

        @Flag(help: "Print JSON, for machines.")
        var json = false

        func run() throws {
            try ExitCode.reporting {
                let inventory = try place.inventory
                let found = try inventory.domains().filter { $0.isOf(domain) }
                guard !found.isEmpty else { throw DomainFiles.none(of: domain, in: inventory) }
                guard !json else { return try DomainReport(found.map { ($0, $0.state) }).write(json: true) }
                try print(found.map(text).joined(separator: "\n\n"))
            }
        }

        private func text(_ found: DomainFiles) -> String {
            var files = TextTable(["file", "size", "memory"])
            for file in found.files {
                files.add([file.name, "\(ByteCount(file.byteCount))", "\(ByteCount(file.backedBytes))"])
            }
            let lines = [
                "domain     \(found.domain)" + (found.uuid.map { ", \($0)" } ?? ""), "directory  \(found.path)",
                "state      \(found.state)", "who has it \(found.user)", "",
            ]
            return (lines.map(\.printable) + files.lines).joined(separator: "\n")
        }
    }

    extension DomainFiles {
        /// Whether it is of a domain, by its name or UUID.
        func isOf(_ name: String) -> Bool { domain == name || uuid == name }

        static func none(of name: String, in inventory: MemoryInventory) -> BackendError {
            BackendError(.unavailable, "nothing of a domain ‘\(name)’ is in ‘\(inventory.memory)’")
        }
    }
#endif
