import Custody
import CustodyConfiguration
import CustodyPolicy
import CustodyProtocols
import CustodyScenario
import SimulationBackend
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#endif

/// Ten thousand stories made by chance keep the promises, whatever protocol, schedule, contents and faults they meet.
@Suite(.timeLimit(.minutes(60))) struct RandomScenarioTests {
    private static var seed: UInt64 {
        ProcessInfo.processInfo.environment["CUSTODY_SEED"].flatMap(UInt64.init) ?? 20_250_117
    }

    @Test func tenThousandStoriesKeepThePromises() throws {
        let seed = Self.seed
        print("Random scenarios: CUSTODY_SEED=\(seed)")
        var completed = 0
        var pending = 0
        for number in 0..<10_000 as Range<UInt64> {
            let story = RandomScenario(seed: seed &+ number)
            let report = try play(story)
            for step in report.steps {
                for event in step.events {
                    guard case .settled(_, let result) = event.kind else { continue }
                    if case .completed = result { completed += 1 }
                    pending += 1
                }
            }
            guard let broken = broken(report) else { continue }
            let least = try shrink(story)
            Issue.record("seed \(seed &+ number): \(broken)\n\(try least.scenario.text(options: least.optionsText))")
            return
        }
        // A generator that never gets anywhere would keep every promise.
        print("\(pending) hand-overs were pending, \(completed) completed")
        #expect(completed > 1_000 && pending > completed + 500)
    }

    @Test func aStoryReadsBackAsItWasWritten() throws {
        for number in 0..<200 as Range<UInt64> {
            let story = RandomScenario(seed: Self.seed &+ number)
            let text = try story.scenario.text(options: story.optionsText)
            let read = try Scenario(YAMLReader.read(text, file: "story.yaml"))
            #expect(read.steps.map(\.action) == story.scenario.steps.map(\.action))
            let section = try #require(read.options(for: "simulation"))
            let options = try SimulationOptions(section)
            #expect(options.handover.name == story.options.handover.name)
            #expect(options.seed == story.options.seed && options.faults == story.options.faults)
        }
    }

    private func play(_ story: RandomScenario) throws -> ScenarioReport {
        var runner = ScenarioRunner(backend: try RandomScenario.backend(story.options))
        return runner.run(story.scenario)
    }

    /// The promise that a play broke, or `nil`.
    private func broken(_ report: ScenarioReport) -> String? {
        if let broken = report.steps.compactMap(\.broken).first ?? report.broken { return "\(broken)" }
        return report.forgotten.first.map { "hand-over \($0) is forgotten" }
    }

    /// The shortest story that still breaks a promise and that leaving out steps leads to.
    private func shrink(_ story: RandomScenario) throws -> RandomScenario {
        var least = story
        var size = max(1, least.actions.count / 2)
        while size >= 1 {
            var start = 0
            while start < least.actions.count {
                var shorter = least
                shorter.actions.removeSubrange(start..<min(start + size, shorter.actions.count))
                if broken(try play(shorter)) != nil { least = shorter } else { start += size }
            }
            size /= 2
        }
        var without = least
        without.options.faults = []
        return broken(try play(without)) != nil ? without : least
    }
}
