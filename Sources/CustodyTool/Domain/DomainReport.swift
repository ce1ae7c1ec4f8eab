#if Libvirt
    import Custody
    import Foundation
    import LibvirtBackend

    /// Directories of memory files, as the commands of `custody domain` print them.
    struct DomainReport {
        private let all: [(files: DomainFiles, state: String)]

        init(_ all: [(DomainFiles, String)]) { self.all = all.map { (files: $0.0, state: $0.1) } }

        func write(json: Bool) throws {
            guard json else { return try print(text) }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let records = all.map { DomainRecord($0.files, state: $0.state) }
            try StandardOutput.write(String(decoding: encoder.encode(records), as: UTF8.self) + "\n")
        }

        private var text: String {
            guard !all.isEmpty else { return "nothing" }
            var table = TextTable(["domain", "state", "files", "memory", "directory", "who has it"])
            for (files, state) in all {
                table.add([
                    files.domain, state, "\(files.files.count)", "\(ByteCount(files.backedBytes))", files.path,
                    files.user,
                ])
            }
            return table.lines.joined(separator: "\n")
        }
    }
#endif
