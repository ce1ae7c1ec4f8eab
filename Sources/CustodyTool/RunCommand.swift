import ArgumentParser
import Custody
import CustodyConfiguration
import CustodyPolicy
import CustodyScenario

/// `custody run`: plays scenarios on a back end and shows who owned what, when.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Play scenarios on a back end and show a timeline of the ownership of its pages.",
        discussion: """
            Without a scenario file, the one that the configuration names is played, or a built-in one. Without a \
            configuration, the built-in one is used, which names the simulation.

            Exit codes: 0 when everything was as expected, 1 when it was not, 69 when the back end is not available \
            on this machine, 78 when a file is wrong.
            """
    )

    @Argument(help: "Scenario files to play, each on a fresh guest.")
    var scenarios: [String] = []

    @Option(name: .shortAndLong, help: "The configuration file.")
    var config: String?

    @Option(name: .shortAndLong, help: "The back end to use in place of the one that the configuration names.")
    var backend: String?

    @Flag(help: "Also print every step that the controller took.")
    var events = false

    func run() throws {
        do {
            let isAsExpected = try play()
            if !isAsExpected { throw ExitCode.failure }
        } catch let error as ConfigurationError {
            report("\(error)")
            throw ExitCode.configuration
        } catch BackendCreationError.configuration(let error) {
            report("\(error)")
            throw ExitCode.configuration
        } catch BackendCreationError.backend(let error) {
            report("custody: \(error)")
            throw error.code == .unavailable || error.code == .unsupported ? ExitCode.unavailable : ExitCode.failure
        }
    }

    private func play() throws -> Bool {
        let registry = BackendRegistry.linked
        var configuration =
            try config.map { path in
                try Configuration(ConfigurationFile.read(path), registry: registry)
            } ?? BuiltIn.configuration(registry)
        if let backend {
            configuration.backend = (backend, SourceLocation(file: "--backend", line: 1, column: 1))
        }
        var isAsExpected = true
        for scenario in try chosenScenarios(configuration) {
            let backend = try configuration.makeBackend(from: registry)
            defer { backend.shutDown() }
            var runner = ScenarioRunner(
                backend: backend,
                policy: configuration.policy,
                limits: configuration.limits
            )
            let result = runner.run(scenario)
            print(Timeline(result, backend: configuration.backend.name, events: events).text)
            isAsExpected = isAsExpected && result.isAsExpected
        }
        return isAsExpected
    }

    private func chosenScenarios(_ configuration: Configuration) throws -> [Scenario] {
        guard scenarios.isEmpty else { return try scenarios.map { try Scenario(contentsOf: $0) } }
        guard let node = configuration.scenario else { return [try BuiltIn.scenario()] }
        guard let name = node.text else { return [try Scenario(node)] }
        return [try Scenario(contentsOf: ConfigurationFile.resolve(name, in: node.location.file))]
    }
}
