import Custody
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

    @Test(arguments: pages) func whatAPageWritesIsAccepted(page: String) throws {
        let text = try text("docs/policies/" + page)
        #expect(try self.text("docs/policies.md").contains("(policies/\(page))"), "the index does not have the page")
        let blocks = text.components(separatedBy: "```yaml\n").dropFirst().map {
            $0.components(separatedBy: "```")[0]
        }
        #expect(!blocks.isEmpty)
        let registry = BackendRegistry([SimulationProvider()])
        for block in blocks {
            let file = "backend: simulation\nguest: {memory: [{at: 0, size: 1MiB}]}\n" + block
            let configuration = try Configuration(YAMLReader.read(file, file: page), registry: registry)
            #expect(
                configuration.account.contains {
                    ["policy", "limits", "pool"].contains($0.section) && !$0.lines.isEmpty
                }
            )
        }
        for link in text.matches(of: /\.\.\/\.\.\/(Examples\/Scenarios\/[a-z-]+\.yaml)/) {
            #expect(throws: Never.self) { try self.text(String(link.1)) }
        }
    }
}
