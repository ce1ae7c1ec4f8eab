import CustodyConfiguration
import CustodyOptions
import CustodyScenario

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Plays scenarios on a back end that is linked in here: `OutOfTree [CONFIGURATION [SCENARIO…]]`.
@main enum OutOfTree {
    static func main() {
        var files = CommandLine.arguments.dropFirst()
        // Beside this package's manifest.
        let folder = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let configuration = files.popFirst() ?? "/\(folder)/plain.yaml"
        do {
            var failures = 0
            let scenarios = files.isEmpty ? [try BuiltIn.scenario()] : try files.map { try Scenario(contentsOf: $0) }
            for scenario in scenarios {
                let registry = BackendRegistry([PlainProvider()])
                let configuration = try Configuration(ConfigurationFile.read(configuration), registry: registry)
                let backend = try configuration.makeBackend(
                    overrides: scenario.options(for: configuration.backend.name)
                )
                defer { backend.shutDown() }
                let report = scenario.play(on: backend, policy: configuration.policy, limits: configuration.limits)
                let failed = report.steps.compactMap(\.failure)
                print("\(report.isAsExpected ? "✔" : "✘") \(scenario.name)")
                for failure in failed { print("  \(failure)") }
                if let broken = report.broken { print("  broken: \(broken)") }
                if !report.isAsExpected { failures += 1 }
            }
            print("\(scenarios.count - failures) of \(scenarios.count) scenarios as expected")
            exit(failures == 0 ? 0 : 1)
        } catch {
            print("error: \(error)")
            exit(78)
        }
    }
}
