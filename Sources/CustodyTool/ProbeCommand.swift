import ArgumentParser
import Custody
import CustodyOptions
import Foundation

/// `custody probe`: what can be used on this machine, and what each back end can do.
struct ProbeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe",
        abstract: "List the back ends, whether they are available here, and what they can do."
    )

    @Flag(help: "Print JSON, for machines.")
    var json = false

    func run() throws {
        let registry = BackendRegistry.linked
        let probes = registry.probe()
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try StandardOutput.write(
                String(decoding: encoder.encode(probes.map(ProbeRecord.init)), as: UTF8.self) + "\n"
            )
        } else {
            try print(ProbeTable(registry, probes).text)
        }
    }
}
