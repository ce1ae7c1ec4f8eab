import Custody
import CustodyOptions
import CustodyConfiguration
import SimulationBackend

enum ConfigurationTarget {
    static func run(_ bytes: [UInt8]) throws(FuzzTarget.Failure) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return }
        let lines = text.unicodeScalars.count + 1
        do throws(ConfigurationError) {
            let node = try YAMLReader.read(text, file: "f")
            try agree(node, lines)
            // No file that fuzzed text names is opened.
            _ = try Configuration(withoutFiles: node, registry: BackendRegistry([SimulationProvider()]))
        } catch {
            let place = error.location
            let isInText = place.file == "f" && (1...lines).contains(place.line) && (1...lines).contains(place.column)
            try FuzzTarget.require(isInText || place.file == "again", "an error is at \(place)")
            try FuzzTarget.require(place.file != "again", "what is written is not read: \(error)")
        }
    }

    /// What is read, written and read again is the same.
    private static func agree(_ node: ConfigurationNode, _ lines: Int) throws(ConfigurationError) {
        let text = node.flowText
        guard text.utf8.count <= YAMLReader.maximumSize else { return }
        let again = try YAMLReader.read(text, file: "again")
        guard again.flowText == text else {
            throw ConfigurationError("\(again.flowText) is not \(text)", at: again.location)
        }
    }
}
