import ArgumentParser
import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyTrace
import SimulationBackend

/// `custody replay`: plays a trace once more, and compares.
struct ReplayCommand: ParsableCommand, RuledArguments {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Play a trace once more, and compare decisions, outcomes and ownership step by step.",
        discussion: """
            What was asked for comes from the trace, at its times; what follows from it is decided and done anew, by the \
            rules that are in the trace. What the back end failed at in the trace, it fails at again. A trace names no \
            file: where rules are in one, name it with --rules.

            Exit codes: 0 when all is the same, 1 when it is not, with the first difference; 64 when the command line is \
            wrong, 65 when the file is none of a trace, 69 when the back end is not available or its guest cannot begin \
            as that of the trace, 78 when the rules in the trace, or those named, are wrong.
            """
    )

    static let rules = ["file", "--backend", "--rules"].map { OptionRule($0) }

    @Argument(help: "The trace.")
    var file: String

    @Option(name: .shortAndLong, help: "The back end to play it on.")
    var backend = "simulation"

    @Option(
        name: [.long, .customLong("config")],
        help: "A configuration whose rules are to decide in place of those in the trace."
    )
    var rules: String?

    func run() throws {
        try ExitCode.reporting {
            let (traces, torn) = try Trace.read(file)
            let interruption = try Interruption()
            TraceCommand.reportNote(torn)
            for trace in traces { try replay(trace, interruption) }
        }
    }

    private func replay(_ trace: Trace, _ interruption: Interruption) throws {
        let registry = BackendRegistry.linked
        let place = SourceLocation(option: "--backend")
        let provider = try registry.provider(named: backend, at: place)
        let configuration = try configuration(of: trace, place, registry)
        let made = try interruption.watching { try makeBackend(trace, provider, place) }
        defer { made.shutDown() }
        let replay = TraceReplay(
            trace,
            policy: configuration?.policy ?? AllowAll(),
            limits: configuration?.limits ?? ControllerLimits(),
            pool: try configuration.map { try SharedPools().pool(for: $0) } ?? nil
        )
        if let mismatch = replay.mismatch(with: made) {
            report("--backend: error: \(backend) cannot play \(file): \(mismatch)")
            throw ExitCode.unavailable
        }
        let result = try replay.run(on: made)
        guard let difference = result.difference else {
            try print("\(file): \(result.lines) lines, \(result.decisions) decisions, all the same on \(backend)")
            return
        }
        report(lines: [
            "\(difference.file):\(difference.line): the replay is not as the trace",
            "  trace:  \(difference.expected)",
            "  replay: \(difference.actual)",
        ])
        throw ExitCode.failure
    }

    private func configuration(
        of trace: Trace,
        _ place: SourceLocation,
        _ registry: BackendRegistry
    ) throws -> Configuration? {
        if let rules { return try Configuration(ConfigurationFile.read(rules), registry: registry) }
        // What the rules are read with is the back end that is to follow them now.
        let rules = try TraceRules.configuration(in: trace.header, of: trace.file, for: backend, at: place, registry)
        if let wrong = rules.flatMap({ TraceRules.contradiction($0, trace.header) }) {
            throw TraceError(wrong, file: trace.file, line: trace.line)
        }
        return rules
    }

    /// What the simulation is to do to the bytes: the same as the trace's back end, where it can.
    private func contents(of trace: Trace) -> ContentsEffect {
        trace.header.capabilities.contents.toPrivate == .preserved ? .preserved : .zeroed
    }

    private func makeBackend(
        _ trace: Trace,
        _ provider: any BackendProvider,
        _ place: SourceLocation
    ) throws -> any MemoryBackend {
        let guest = GuestConfiguration(layout: trace.header.layout)
        guard backend == SimulationProvider().name else {
            return try provider.read(ConfigurationSection(at: place)).makeBackend(for: guest)
        }
        return SimulationBackend(
            guest: guest,
            options: SimulationOptions(contents: contents(of: trace), latency: .zero),
            ownership: trace.header.ownershipMap
        )
    }
}
