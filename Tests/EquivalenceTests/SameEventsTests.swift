import Custody
import CustodyPolicy
import CustodyScenario
import CustodyTestSupport
import Foundation
import KVMBackend
import SimulationBackend
import Testing

/// One scenario is one sequence of ownership events, whatever carries it out.
///
/// What may differ is the time of an event and who enforces an ownership; neither is in an event's line.
@Suite(.enabled(if: TestHost.hasKVM, "there is no /dev/kvm that this user may open"))
struct SameEventsTests {
    private func guest() throws -> GuestConfiguration {
        let region = try PageRange(address: GuestPhysicalAddress(2 << 20), byteCount: 64 << 20)
        return GuestConfiguration(layout: try GuestMemoryLayout(regions: [region]))
    }

    private func play(_ backend: any MemoryBackend, _ scenario: Scenario) -> ScenarioReport {
        defer { backend.shutDown() }
        return scenario.play(on: backend)
    }

    /// The scenario files of the promises and of the rules, found from this file. Those with deadlines, time boxes, rates
    /// and timed pins are left out: whether real time runs out before a step is the machine's to say.
    static let promises: [String] = {
        let folder = URL(filePath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(components: "Examples", "Scenarios").path(percentEncoded: false)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasPrefix("promise-") || $0.hasPrefix("policy-") }.sorted().map { folder + "/" + $0 }
            .filter { file in
                let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? "hold:"
                return !["deadline:", "hold:", "time-box:", "per:"].contains { text.contains($0) }
            }
    }()

    @Test func thereArePromises() { #expect(SameEventsTests.promises.count >= 20) }

    @Test("the scenarios of the promises and rules give the same events on both", arguments: promises)
    func samePromises(file: String) throws {
        let scenario = try Scenario(contentsOf: file)
        let real = play(try KVMBackend(guest(), mode: .dual), scenario)
        let simulated = play(SimulationBackend(guest: try guest()), scenario)
        #expect(real.isAsExpected)
        #expect(simulated.isAsExpected)
        #expect(ownershipEvents(real) == ownershipEvents(simulated))
        #expect(real.ownership == simulated.ownership)
    }

    /// The events without what became of the bytes: that is a capability, and the two differ for pages that go between
    /// the host alone and shared.
    private func ownershipEvents(_ report: ScenarioReport) -> [String] {
        report.events.map { event in
            let line = "\(event.kind)"
            return line.range(of: ", contents ").map { String(line[..<$0.lowerBound]) } ?? line
        }
    }

    @Test(
        "the built-in scenario gives the same events on the simulation and on a real guest",
        arguments: [(KVMMode.dual, ContentsEffect.zeroed), (.revoked, .preserved)]
    )
    func sameEvents(mode: KVMMode, contents: ContentsEffect) throws {
        let real = play(try KVMBackend(guest(), mode: mode), try BuiltIn.scenario())
        let simulated = play(
            SimulationBackend(guest: try guest(), options: SimulationOptions(contents: contents)),
            try BuiltIn.scenario()
        )
        #expect(real.isAsExpected)
        #expect(simulated.isAsExpected)
        #expect(real.events.count > 40)
        #expect(real.events.map { "\($0.kind)" } == simulated.events.map { "\($0.kind)" })
        #expect(real.ownership == simulated.ownership)
    }
}
