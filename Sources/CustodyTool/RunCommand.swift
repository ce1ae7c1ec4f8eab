import ArgumentParser
import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyScenario
import CustodyTrace
import SimulationBackend

/// `custody run`: plays scenarios on a back end and shows who owned what, when.
struct RunCommand: ParsableCommand, RuledArguments {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Play scenarios on a back end and show a timeline of the ownership of its pages.",
        discussion: """
            Without a scenario file, the one that the configuration names is played, or a built-in one. Without a \
            configuration, the built-in one is used, which names the simulation.

            Exit codes: 0 when everything was as expected, 1 when it was not, 64 when the command line is wrong, 69 \
            when the back end is not available on this machine, or not as it was asked for, 74 when a file cannot be \
            written, 78 when a file is wrong. \
            SIGINT, SIGTERM and SIGHUP end the guest first; the exit code is 128 and the signal's number.
            """
    )

    static let rules = [
        "scenarios", "--config", "--backend", "--seed", "--interleave", "--repeat", "--events", "--trace", "--lockstep",
        "--snapshot",
    ].map { OptionRule($0) }

    @Argument(help: "Scenario files to play, each on a fresh guest.")
    var scenarios: [String] = []

    @Option(name: .shortAndLong, help: "The configuration file.")
    var config: String?

    @Option(name: .shortAndLong, help: "The back end to use in place of the one that the configuration names.")
    var backend: String?

    @Option(help: "Where the simulation's chance comes from.")
    var seed: UInt64?

    @Flag(help: "Let everybody at work in the simulated kernel go on by chance, rather than the caller first.")
    var interleave = false

    @Option(
        help: "Play so often, each time with the next seed where there is one; show the first that is not right."
    )
    var `repeat`: Int?

    @Flag(help: "Also print every step that the controller took.")
    var events = false

    @Option(help: "Append a trace of every run to this file.")
    var trace: String?

    @Flag(help: "Run the simulation beside the back end, and stop at the first thing that the two do not do alike.")
    var lockstep = false

    @Option(help: "Write what the controller knows in the end of the last run to this file, for `custody map`.")
    var snapshot: String?

    func validate() throws {
        try checkRules()
        guard repetitions >= 1 else { throw ValidationError("--repeat takes a number from 1 on") }
        try DistinctFiles.check(
            ["--trace": trace, "--snapshot": snapshot],
            apartFrom: scenarios + [config].compactMap(\.self)
        )
    }

    private var repetitions: Int { `repeat` ?? 1 }

    func run() throws {
        try ExitCode.reporting {
            let isAsExpected = try play()
            if !isAsExpected { throw ExitCode.failure }
        }
    }

    private func play() throws -> Bool {
        let interruption = try Interruption()
        let registry = BackendRegistry.linked
        var configuration =
            try config.map { path in
                try Configuration(ConfigurationFile.read(path), registry: registry)
            } ?? BuiltIn.configuration(registry)
        if let backend {
            configuration.backend = (backend, SourceLocation(option: "--backend"))
        }
        var isAsExpected = true
        for scenario in try chosenScenarios(configuration) {
            let failed = try play(scenario, configuration.replacing(scenario.rules), registry, interruption)
            isAsExpected = isAsExpected && failed == 0
            if repetitions > 1 {
                try print("\(scenario.name): \(repetitions) runs, \(failed) not as expected")
            }
        }
        return isAsExpected
    }

    /// Plays one scenario as often as asked, and returns how often it was not as expected.
    private func play(
        _ scenario: Scenario,
        _ configuration: Configuration,
        _ registry: BackendRegistry,
        _ interruption: Interruption
    ) throws -> Int {
        var failed = 0
        let name = configuration.backend.name
        let given = scenario.options(for: name) ?? ConfigurationSection(at: configuration.backend.location)
        let first = try firstSeed(configuration.backendOptions.overridden(by: given), registry[name])
        for repetition in 0..<UInt64(repetitions) {
            var options = given
            let seed = first.map { $0 &+ repetition }
            if let seed { options = options.setting("seed", to: "\(seed)", option: "--seed") }
            if interleave { options = options.setting("interleave", to: "true", option: "--interleave") }
            let made = try interruption.watching {
                try configuration.makeBackend(overrides: options)
            }
            defer { made.shutDown() }
            let pair = lockstep ? try LockstepBackend(made, beside: twin(of: made, configuration.guest)) : nil
            let backend: any MemoryBackend = pair ?? made
            let rules = try configuration.rulesText()
            let writer = try trace.map { path in
                let header = TraceHeader(of: backend, named: name, configuration: rules)
                return try ExitCode.writing(path) { try TraceWriter(appendingTo: path, header: header) }
            }
            var runner = try ScenarioRunner(
                backend: backend,
                configuration: configuration,
                pools: SharedPools(),
                observer: writer
            )
            let result = runner.run(scenario)
            if let trace { try ExitCode.writing(trace) { try writer?.close(ownership: result.ownership) } }
            if let snapshot { try ExitCode.writing(snapshot) { try SnapshotFile.write(runner.snapshot, to: snapshot) } }
            let isInStep = pair.map { $0.difference == nil && $0.uncompared.isEmpty } ?? true
            let isRight = result.isAsExpected && isInStep
            if !isRight { failed += 1 }
            // All of the one run, or the first one that went wrong.
            if repetitions == 1 || (failed == 1 && !isRight) {
                if repetitions > 1 { try print(seed.map { "seed \($0):" } ?? "run \(repetition + 1):") }
                try print(Timeline(result, backend: name, events: events).text)
                if let pair { try print(verdict(on: pair)) }
            }
        }
        return failed
    }

    private func verdict(on pair: LockstepBackend) -> String {
        if let difference = pair.difference { return "\(difference)" }
        guard !pair.uncompared.isEmpty else { return "in step with the simulation" }
        return "not compared with the simulation, which cannot follow: \(pair.uncompared.joined(separator: ", "))"
    }

    /// The simulation that does the same as a back end, as far as it can: what a conversion does to the bytes is one thing
    /// for all directions. Beside another simulation it is the same one, but that nothing goes wrong with it.
    private func twin(of backend: any MemoryBackend, _ guest: GuestConfiguration) -> SimulationBackend {
        if let simulation = backend as? SimulationBackend { return simulation.withoutFaults(for: guest) }
        let contents: ContentsEffect = backend.capabilities.contents.toPrivate == .preserved ? .preserved : .zeroed
        return SimulationBackend(
            guest: guest,
            options: SimulationOptions(
                contents: contents,
                latency: .zero,
                modules: backend.capabilities.hostUnit == .region
            ),
            ownership: backend.initialOwnership
        )
    }

    /// The seed of the first run: the one of the command line, else the one of the files, else 1. `nil` where a single
    /// run needs none from here, and where the back end leaves nothing to chance: it is played again as it is.
    private func firstSeed(
        _ options: ConfigurationSection,
        _ provider: (any BackendProvider)?
    ) throws(ConfigurationError) -> UInt64? {
        if let seed { return seed }
        guard repetitions > 1 else { return nil }
        var options = options
        if let seed = try options.unsigned("seed") { return seed }
        let one = ConfigurationSection(at: options.location).setting("seed", to: "1", option: "--repeat")
        do { _ = try provider?.read(one) } catch { return nil }
        return 1
    }

    private func chosenScenarios(_ configuration: Configuration) throws -> [Scenario] {
        guard scenarios.isEmpty else { return try scenarios.map { try Scenario(contentsOf: $0) } }
        guard let node = configuration.scenario else { return [try BuiltIn.scenario()] }
        return [try Scenario(ConfigurationFile.included(node))]
    }
}
