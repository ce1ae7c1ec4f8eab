import ArgumentParser
import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyScenario
import Foundation

/// `custody check-config`: reads configuration files as strictly as a monitor does, and says what it understood.
struct CheckConfigCommand: ParsableCommand, RuledArguments {
    /// The kinds of files that there is a schema of.
    enum Schema: EnumerableFlag {
        case configuration
        case policy
        case scenario

        static func name(for value: Schema) -> NameSpecification {
            switch value {
            case .configuration: .customLong("schema")
            case .policy: .customLong("policy-schema")
            case .scenario: .customLong("scenario-schema")
            }
        }

        static func help(for value: Schema) -> ArgumentHelp? {
            switch value {
            case .configuration: "Print the JSON Schema of configuration files."
            case .policy: "Print the JSON Schema of files that a key ‘policy’ names."
            case .scenario: "Print the JSON Schema of scenario files."
            }
        }

        var document: SchemaDocument {
            switch self {
            case .configuration: .configuration(.linked, Scenario.format)
            case .policy: .policy
            case .scenario:
                SchemaDocument(
                    of: Scenario.format,
                    title: "A scenario of Custody",
                    "A story of a guest, its host and its devices, with what is expected of each step."
                )
            }
        }
    }

    static let configuration = CommandConfiguration(
        commandName: "check-config",
        abstract: "Read configuration files strictly and print what was understood.",
        discussion: """
            Nothing is made and no machine is looked at: a file is accepted whether its back end is available here or not.

            Exit codes: 0 when every file is accepted, 78 when one is not, with file, line, column and what is accepted.
            """
    )

    static let rules = [
        OptionRule("files", excludes: ["--schema"]), OptionRule("--schema"), OptionRule("--quiet", needs: ["files"]),
    ]

    @Argument(help: "The configuration files.")
    var files: [String] = []

    @Flag(exclusivity: .exclusive)
    var schema: Schema?

    @Flag(name: .shortAndLong, help: "Say of an accepted file no more than that it is.")
    var quiet = false

    func validate() throws {
        try checkRules()
        guard !files.isEmpty || schema != nil else {
            throw ValidationError("check-config takes files, or the schema that is to be printed")
        }
    }

    func run() throws {
        if let schema {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try StandardOutput.write(String(decoding: encoder.encode(schema.document.value), as: UTF8.self) + "\n")
            return
        }
        var isAccepted = true
        for file in files {
            do {
                let configuration = try Configuration(ConfigurationFile.read(file), registry: .linked)
                let scenario = try configuration.scenario.map { (node) throws(ConfigurationError) in
                    try Scenario(ConfigurationFile.included(node))
                }
                try print("\(file): accepted")
                if !quiet { try print(CheckConfigCommand.text(of: configuration, scenario)) }
            } catch let error as ConfigurationError {
                isAccepted = false
                report("\(error)")
            }
        }
        guard isAccepted else { throw ExitCode.configuration }
    }

    /// A line a key, the sections side by side with their names.
    private static func text(of configuration: Configuration, _ scenario: Scenario?) -> String {
        var lines: [String] = []
        let played = scenario.map { ["\($0.name), \($0.steps.count) steps"] } ?? []
        for (section, parts) in configuration.account + [("scenario", played)] where !parts.isEmpty {
            for (index, part) in parts.enumerated() {
                let name = index == 0 ? section : ""
                lines.append("  " + name + String(repeating: " ", count: 10 - name.count) + part)
            }
        }
        return lines.map(\.printable).joined(separator: "\n")
    }
}
