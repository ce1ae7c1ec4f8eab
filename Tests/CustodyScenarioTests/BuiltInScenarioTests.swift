import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyScenario
import SimulationBackend
import Testing

@Suite struct BuiltInScenarioTests {
    private func report(seed: UInt64) throws -> ScenarioReport {
        let configuration = try BuiltIn.configuration(BackendRegistry([SimulationProvider()]))
        let backend = SimulationBackend(guest: configuration.guest, options: SimulationOptions(seed: seed))
        var runner = ScenarioRunner(backend: backend, policy: configuration.policy, limits: configuration.limits)
        return try runner.run(BuiltIn.scenario())
    }

    private func lines(_ report: ScenarioReport) -> [String] { report.events.map { "\($0.time.rawValue) \($0.kind)" } }

    @Test func goesAsExpectedOnTheSimulation() throws {
        let report = try report(seed: 1)
        for step in report.steps where step.failure != nil {
            Issue.record("\(step.step.location): \(step.failure ?? "")")
        }
        #expect(report.isAsExpected)
        #expect(report.steps.count > 30)
    }

    @Test(arguments: [1, 7, UInt64.max])
    func oneSeedGivesTheSameLines(seed: UInt64) throws {
        let first = try lines(report(seed: seed))
        #expect(first.count >= 50)
        #expect(try first == lines(report(seed: seed)))
    }

    @Test func anotherSeedGivesOtherTimesAndTheSameStory() throws {
        let first = try report(seed: 1)
        let second = try report(seed: 2)
        #expect(lines(first) != lines(second))
        #expect(first.events.map { "\($0.kind)" } == second.events.map { "\($0.kind)" })
        #expect(second.isAsExpected)
    }
}
