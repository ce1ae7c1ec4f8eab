import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import Foundation
import SimulationBackend
import Testing

/// What the pages of docs/policies say that can be written can be.
@Suite struct DocumentationTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static let pages: [String] = {
        let folder = root.appending(components: "docs", "policies").path(percentEncoded: false)
        return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }()

    private func text(_ path: String) throws -> String {
        try String(contentsOf: DocumentationTests.root.appending(path: path), encoding: .utf8)
    }

    @Test func everyRuleHasItsPageAndItsScenario() throws {
        guard case .object(let schema) = SchemaDocument.policy.value, case .object(let keys)? = schema["properties"]
        else { return #expect(Bool(false), "a policy is a mapping") }
        let index = try text("docs/policies.md")
        for rule in keys.keys {
            #expect(index.contains("`\(rule)`"), "docs/policies.md does not name \(rule)")
            let scenario = try text("Examples/Scenarios/policy-\(rule).yaml")
            #expect(scenario.contains("\(rule):"), "the scenario of \(rule) does not use it")
        }
    }

    /// Holds what a page writes as YAML against the reader.
    private func read(_ page: String) throws -> [Configuration] {
        let registry = BackendRegistry([SimulationProvider()])
        return try text(page).components(separatedBy: "```yaml\n").dropFirst().map {
            let block = $0.components(separatedBy: "```")[0]
            let file = "backend: simulation\nguest: {memory: [{at: 0, size: 1MiB}]}\n" + block
            return try Configuration(YAMLReader.read(file, file: page), registry: registry)
        }
    }

    @Test(arguments: pages) func whatAPageWritesIsAccepted(page: String) throws {
        #expect(try text("docs/policies.md").contains("(policies/\(page))"), "the index does not have the page")
        let configurations = try read("docs/policies/" + page)
        #expect(!configurations.isEmpty)
        for configuration in configurations {
            let sections = configuration.account.filter { !$0.lines.isEmpty }.map(\.section)
            #expect(
                sections.contains("policy") || sections.contains("pool") || page == "limits.md" || page == "holes.md"
            )
        }
        let text = try text("docs/policies/" + page)
        for link in text.matches(of: /\.\.\/\.\.\/(Examples\/Scenarios\/[a-z-]+\.yaml)/) {
            #expect(throws: Never.self) { try self.text(String(link.1)) }
        }
    }

    @Test func whatTheReadmeWritesIsAccepted() throws { #expect(try read("README.md").count == 1) }
}
