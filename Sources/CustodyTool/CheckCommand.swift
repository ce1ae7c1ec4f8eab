import ArgumentParser
import Custody
import CustodyOptions
import CustodyChecker
import CustodyFiles
import CustodyProtocols
import Foundation

/// `custody check`: every interleaving of a protocol's actors.
struct CheckCommand: ParsableCommand, RuledArguments {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract:
            "Explore every interleaving of a protocol's actors, and prove its properties or show what breaks them.",
        discussion: """
            An actor is NAME[@PAGE[+COUNT]][:WORD…]. Names: \
            \(ActorName.allCases.map(\.rawValue).joined(separator: ", ")). \
            Words: \(ActorName.words.joined(separator: ", ")). Without pages, one that converts or discards works on all \
            of them, any other on the first.

            The length of a counterexample is that of a shortest one, unless it says ‘at most’. Where there is none, a file \
            of --scenario or --html is removed.

            Exit codes: 0 when every property holds in all that can be reached, 1 when one does not (or a mutation \
            survives), 2 when the exploration stopped at a bound before that, 64 when the command line is wrong, 74 \
            when a file cannot be written.

            \(rules.text)
            """
    )

    private static let single = ["--set", "--actors"]
    private static let explored = ["--all"] + single
    private static let tables = ["--all", "--mutants", "--questions", "--properties"]

    static let rules = [
        OptionRule("--protocol", excludes: ["--mutants", "--questions", "--properties"]),
        OptionRule("--all", excludes: ["--mutants", "--questions", "--properties"] + single),
        OptionRule("--mutants", excludes: ["--questions", "--properties"] + single),
        OptionRule("--questions", excludes: ["--properties"] + single),
        OptionRule("--properties", excludes: single),
        OptionRule("--actors", excludes: ["--set"]),
        OptionRule("--set"),
        OptionRule("--folios", needs: ["--actors"]),
        OptionRule("--pages", needs: ["--actors"]),
        OptionRule("--start", needs: ["--actors"]),
        OptionRule("--no-reduction", needs: explored),
        OptionRule("--max-states", needs: explored + ["--questions"]),
        OptionRule("--property", needs: explored),
        OptionRule("--first", needs: explored),
        OptionRule("--quiet", needs: single),
        OptionRule("--scenario", needs: single),
        OptionRule("--html", needs: single),
        OptionRule("--markdown", needs: tables),
    ]

    @Option(help: "The protocol.", completion: .list(HandoverProtocol.all.map(\.name)))
    var `protocol`: String?

    @Option(help: "The actors, separated by commas.")
    var actors: String?

    @Option(help: "The actors and the beginning of this set of the suite.")
    var set: String?

    @Option(help: "How many folios the file has; 1 unless named.")
    var folios: Int?

    @Option(help: "The size of a folio, in pages: 1, 2, 4 or 8; 1 unless named.")
    var pages: Int?

    @Option(
        help: """
            The folios at the beginning: mapped, present, absent, private, or pending (some actor is final-put); mapped \
            unless named.
            """
    )
    var start: String?

    @Flag(help: "Take every order, also those that cannot matter.")
    var noReduction = false

    @Option(help: "Stop after so many states; 4000000 unless named.")
    var maxStates: Int?

    @Option(help: "Ask about these properties alone, separated by commas, and stop when they are broken.")
    var property: String?

    @Flag(help: "Stop at the first counterexample, however long; else look for the shortest within --max-states.")
    var first = false

    @Flag(name: .shortAndLong, help: "Print verdicts without the counterexamples.")
    var quiet = false

    @Option(help: "Write the counterexample as a scenario that ‘custody run’ plays on the simulation.")
    var scenario: String?

    @Option(help: "Write the counterexamples as a page for a browser.")
    var html: String?

    @Flag(help: "Explore the whole suite and print a table of verdicts; with --protocol, for that protocol alone.")
    var all = false

    @Flag(help: "Print tables as Markdown, without anything that a machine's speed decides.")
    var markdown = false

    @Flag(help: "Plant defects in gmem-custody and print which property notices each.")
    var mutants = false

    @Flag(help: "Settle the questions of the review, and print the claims with their verdicts.")
    var questions = false

    @Flag(help: "List the properties with their sources.")
    var properties = false

    func validate() throws {
        try checkRules()
        try DistinctFiles.check(["--scenario": scenario, "--html": html])
    }

    func run() throws {
        if properties {
            try printProperties()
        } else if mutants {
            try exit(MutationTable().print(markdown))
        } else if questions {
            for question in Question.all { try print(QuestionText(question, checkedMaxStates()).text(markdown)) }
        } else if all {
            let protocols = try chosenProtocol().map { [$0] } ?? HandoverProtocol.all
            try exit(SuiteTable(protocols: protocols, try checker()).print(markdown))
        } else {
            try checkOne()
        }
    }

    private func checkOne() throws {
        let configuration = try chosenConfiguration()
        let report = try checker().check(configuration)
        try print(CheckText(report, showsCounterexamples: !quiet).text)
        let counterexamples = report.verdicts.compactMap(\.verdict.counterexample)
        if counterexamples.isEmpty {
            let files = [scenario, html].compactMap(\.self)
            if !files.isEmpty { CustodyTool.report("custody: there is no counterexample to write") }
            for file in files { try remove(file) }
        } else {
            if let html { try write(CounterexamplePage(report).html, to: html) }
            if let scenario { try writeScenario(counterexamples, to: scenario) }
        }
        try exit(CheckOutcome(report))
    }

    private func writeScenario(_ counterexamples: [Counterexample], to path: String) throws {
        var reasons: [String] = []
        for counterexample in counterexamples {
            do {
                try write(try counterexample.scenario(), to: path)
                try print("\n\(path): \(counterexample.property.rawValue); ‘custody run \(path)’ plays it")
                return
            } catch let error as ScenarioError {
                reasons.append("\(counterexample.property.rawValue): \(error)")
            }
        }
        CustodyTool.report("custody: no scenario was written: \(reasons.joined(separator: "; "))")
        try remove(path)
    }

    private func write(_ text: String, to path: String) throws {
        try ExitCode.writing(path) { try OutputFile.write(Array(text.utf8), to: path) }
    }

    /// Removes what an earlier run wrote: it would pass for a counterexample of this one.
    private func remove(_ path: String) throws {
        try ExitCode.writing(path) { try OutputFile.remove(path) }
    }

    private func exit(_ outcome: CheckOutcome) throws {
        if outcome != .holds { throw ExitCode(outcome.rawValue) }
    }

    private func printProperties() throws {
        if markdown { try print("| property | says | source |\n| --- | --- | --- |") }
        for property in Property.allCases {
            guard !markdown else {
                try print("| \(property.rawValue) | \(property.sentence) | \(property.source) |")
                continue
            }
            try print("\(property.rawValue)\n    \(property.sentence)\n    \(property.source)")
        }
    }

    // MARK: The command line

    private func checker() throws -> Checker {
        var checker = Checker(
            reduction: !noReduction,
            maximumStates: try checkedMaxStates(),
            shortest: !first,
            stopsAtFirst: first
        )
        if let property {
            let names = try CommaList.distinctNames(property, "--property")
            checker.properties = Set(
                try names.map { try known("property", $0, Property.allCases, \.rawValue, "--property") }
            )
        }
        return checker
    }

    private func checkedMaxStates() throws -> Int {
        let states = maxStates ?? 4_000_000
        guard states > 0 else { throw ValidationError("--max-states takes a number from 1 on") }
        return states
    }

    private func chosenProtocol() throws -> HandoverProtocol? {
        try `protocol`.map { try known("protocol", $0, HandoverProtocol.all, \.name, "--protocol") }
    }

    private func chosenConfiguration() throws -> CustodyChecker.Configuration {
        guard let handover = try chosenProtocol() else {
            let names = HandoverProtocol.all.map(\.name).joined(separator: ", ")
            throw ValidationError("--protocol is missing (one of \(names)), or --all for the whole suite")
        }
        if let set {
            return try known("set", set, Suite.configurations(for: handover), \.name, "--set")
        }
        guard let actors else {
            throw ValidationError("--actors is missing, or --set with the name of a set of the suite")
        }
        let beginnings = CustodyChecker.Configuration.InitialFolio.allCases
        let beginning = try known("beginning", start ?? "mapped", beginnings, \.rawValue, "--start")
        let names = try CommaList.names(actors, "--actors")
        do throws(CustodyChecker.Configuration.ActorError) {
            return try CustodyChecker.Configuration(
                handover,
                actors: names,
                start: beginning,
                folios: folios ?? 1,
                pagesPerFolio: pages ?? 1
            )
        } catch {
            throw refusal(error)
        }
    }

    private func refusal(_ error: CustodyChecker.Configuration.ActorError) -> ValidationError {
        switch error {
        case .size:
            ValidationError(
                "the file has at most \(SmallWorld.maximumPages) pages in at most \(SmallWorld.maximumFolios - 1) folios "
                    + "of 1, 2, 4 or 8 pages"
            )
        case .nobody: ValidationError("--actors names nobody")
        case .actor(_, .name(let name)): unknown("actor", name, ActorName.allCases.map(\.rawValue), "--actors")
        case .actor(_, .word(let word)): unknown("word of an actor", word, ActorName.words, "--actors")
        case .actor(let text, .contradiction(let word, let other)):
            ValidationError("‘\(word)’ does not go with ‘\(other)’ in ‘\(text)’")
        case .actor(let text, .pages(let pages)):
            ValidationError("‘\(pages)’ in ‘\(text)’ is not PAGE or PAGE+COUNT within the file")
        case .nothingToHold: ValidationError("final-put holds a reference: --start absent has no folio")
        case .nothingPending:
            ValidationError(
                "--start pending needs a protocol in which something can be pending, one folio, and a final-put"
            )
        }
    }

    private func known<Value>(
        _ what: String,
        _ word: String,
        _ values: [Value],
        _ name: KeyPath<Value, String>,
        _ option: String
    ) throws -> Value {
        if let value = values.first(where: { $0[keyPath: name] == word }) { return value }
        throw unknown(what, word, values.map { $0[keyPath: name] }, option)
    }

    private func unknown(_ what: String, _ word: String, _ known: [String], _ option: String) -> ValidationError {
        let place = SourceLocation(option: option)
        return ValidationError(ConfigurationError(unknown: what, word, known: known, at: place).message)
    }
}
