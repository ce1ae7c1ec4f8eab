import Custody
import CustodyOptions
import CustodyChecker
import CustodyConfiguration
import CustodyPolicy
import CustodyProtocols
import CustodyScenario
import Foundation
import SimulationBackend
import Testing

/// A counterexample that is written as a scenario ends in the same way on the simulation.
@Suite struct ScenarioTests {
    @Test(arguments: HandoverProtocol.all)
    func counterexamplesAreReplayed(_ handover: HandoverProtocol) throws {
        var replayed: Set<Property> = []
        for configuration in Suite.configurations(for: handover) where !configuration.name.hasPrefix("crowd") {
            for (property, verdict) in Checker(maximumStates: 20_000).check(configuration).verdicts {
                guard let counterexample = verdict.counterexample else { continue }
                let text: String
                do throws(ScenarioError) { text = try counterexample.scenario() } catch { continue }
                let report = try play(text)
                let failures = report.steps.compactMap(\.failure)
                #expect(
                    report.isAsExpected,
                    "\(handover.name), \(configuration.name), \(property): \(failures)\n\(text)"
                )
                replayed.insert(property)
            }
        }
        let expected: [String: Set<Property>] = [
            "gmem-v5": [
                .noHostAccessToPrivate, .neverPrivateWhileHeld, .noUnderflow, .noUseAfterFree, .completesOnce,
                .noStrandedCaller, .noSelfDeadlock, .noDeadlock, .neverSleepsInAtomic, .refusalChangesNothing,
                .privateStaysPrivate, .noWarning,
            ],
            "gmem-v7": [.noUnderflow, .noSelfDeadlock, .noDeadlock, .completesOnce],
        ]
        let missing = (expected[handover.name] ?? []).subtracting(replayed)
        #expect(missing.isEmpty, "\(handover.name) has no scenario for \(missing)")
    }

    @Test func aScenarioThatEndsOtherwiseIsNoticed() throws {
        let configuration = try #require(Suite.configuration("two requests", for: .version5))
        let counterexample = try #require(Checker().check(configuration)[.noHostAccessToPrivate]?.counterexample)
        let text = try counterexample.scenario()
        let last = try #require(text.range(of: "host-touched-private", options: .backwards))
        #expect(try play(text).isAsExpected)
        #expect(try !play(text.replacingCharacters(in: last, with: "underflow")).isAsExpected)
        #expect(try !play(text.replacingOccurrences(of: "steps: 18", with: "steps: 17")).isAsExpected)
    }

    @Test func whatCannotBeObservedIsSaid() throws {
        var configuration = try #require(Suite.configuration("two requests", for: .version5))
        configuration.mutation = .losesEffect(of: .clearTakeLock)
        let spoiled = Checker(shortest: false).check(configuration).verdicts.compactMap(\.verdict.counterexample)
        let counterexample = try #require(spoiled.first)
        #expect(throws: ScenarioError.self) { try counterexample.scenario() }
    }

    private func play(_ text: String) throws -> ScenarioReport {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).yaml").path
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let scenario = try Scenario(contentsOf: path)
        let registry = BackendRegistry([SimulationProvider()])
        let configuration = try BuiltIn.configuration(registry)
        let options = try #require(scenario.options(for: "simulation"))
        let backend = try configuration.makeBackend(overrides: options)
        defer { backend.shutDown() }
        var runner = ScenarioRunner(backend: backend, policy: configuration.policy, limits: configuration.limits)
        return runner.run(scenario)
    }
}
