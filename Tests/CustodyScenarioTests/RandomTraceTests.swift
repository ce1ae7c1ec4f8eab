import Custody
import CustodyPolicy
import CustodyScenario
import CustodyTestSupport
import CustodyTrace
import FoundationEssentials
import SimulationBackend
import Testing

/// Stories made by chance, with every protocol and fault: their traces say what happened, can be, and can be played again.
@Suite(.timeLimit(.minutes(60))) struct RandomTraceTests: ~Copyable {
    private let path = FileManager.default.temporaryDirectory.path() + "/custody-trace-\(UUID().uuidString)"

    deinit { try? FileManager.default.removeItem(atPath: path) }

    @Test func storiesAreWrittenVerifiedAndPlayedAgain() throws {
        let seed = Seed.value()
        print("Random traces: CUSTODY_SEED=\(seed)")
        var lines = 0
        var decisions: UInt64 = 0
        for number in 0..<400 as Range<UInt64> {
            let note = "CUSTODY_SEED=\(seed), story \(number)"
            let events = try record(RandomScenario(seed: seed &+ number))
            let report = try TraceVerifier(path).verify()
            #expect(report.error?.description == nil, "\(note)")
            #expect(report.notes.isEmpty, "\(note)")
            let trace = try #require(try Trace.read(path).traces.first)
            // The report has the events in the order of their steps, the trace as they were told.
            let records = trace.entries.dropLast().map(\.record).sorted { ($0.sequence ?? 0) < ($1.sequence ?? 0) }
            #expect(records.map(\.event) == events.map { TraceEvent($0.kind) }, "\(note)")
            #expect(records.map(\.time) == events.map(\.time), "\(note)")
            let replayed = try replay(trace)
            #expect(replayed.difference == nil, "\(note)")
            #expect(replayed.lines == trace.entries.count, "\(note)")
            lines += replayed.lines
            decisions += replayed.decisions
            guard report.error == nil, replayed.difference == nil else { return }
        }
        // Stories that do nothing would be played again, too.
        print("\(lines) lines, \(decisions) decisions")
        #expect(lines > 8_000 && decisions > 800)
    }

    /// A line that says something else than what was done is found, by the lines around it or by the replay.
    @Test func aLineThatWasChangedIsFound() throws {
        var random = SplitMix64(seed: Seed.value())
        let changes = [
            ("\"to\":\"private\"", "\"to\":\"shared\""), ("\"target\":\"private\"", "\"target\":\"host\""),
            ("\"changedPages\":1", "\"changedPages\":2"), ("\"status\":\"pending\"", "\"status\":\"completed\""),
            ("\"verdict\":\"allow\"", "\"verdict\":\"deny\""), ("\"kind\":\"pin\"", "\"kind\":\"mapping\""),
            ("\"stoppedAt\":51", "\"stoppedAt\":52"), ("{\"count\":1", "{\"count\":2"),
            ("\"result\":{\"", "\"result\":{\"un"),
        ]
        var found = 0
        for number in 0..<200 as Range<UInt64> {
            _ = try record(RandomScenario(seed: Seed.value() &+ number))
            var text = String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
                .split(separator: "\n").map(String.init)
            let (old, new) = try #require(changes.randomElement(using: &random))
            // A lease that is refused, or that nobody ends, may be of other pages and of another kind as well; and a discard
            // may be of other pages.
            let lines = text.indices.dropFirst().filter { index in
                text[index].contains(old) && !["\"lease", "\"discarded"].contains(where: text[index].contains)
            }
            guard let index = lines.randomElement(using: &random) else { continue }
            let before = text[index]
            text[index] = before.replacing(old, with: new, maxReplacements: 1)
            try Data(text.map { $0 + "\n" }.joined().utf8).write(to: URL(filePath: path))
            var isFound = try TraceVerifier(path).verify().error != nil
            if !isFound, let trace = try? Trace.read(path).traces.first {
                isFound = try replay(trace).difference != nil
            }
            #expect(isFound, "\(before)\n\(text[index])")
            found += 1
        }
        #expect(found > 100)
    }

    private func record(_ story: RandomScenario) throws -> [ControllerEvent] {
        try? FileManager.default.removeItem(atPath: path)
        let backend = try RandomScenario.backend(story.options)
        let writer = try TraceWriter(appendingTo: path, header: TraceHeader(of: backend, named: "simulation"))
        var runner = ScenarioRunner(backend: backend, observer: writer)
        let report = runner.run(story.scenario)
        try writer.close(ownership: report.ownership)
        return report.events
    }

    private func replay(_ trace: Trace) throws -> TraceReplay.Report {
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: trace.header.layout),
            options: SimulationOptions(latency: .zero),
            ownership: trace.header.ownershipMap
        )
        return try TraceReplay(trace, policy: AllowAll()).run(on: backend)
    }
}
