import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyScenario

enum ScenarioTarget {
    static func run(_ bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self),
            let node = try? YAMLReader.read(text, file: "f")
        else { return }
        // No file that fuzzed text names is opened. What is wrong is an error, and any error will do.
        _ = try? Scenario.format.read(node, Site(key: "scenario", mayNameFiles: false))
    }
}
