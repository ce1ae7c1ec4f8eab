import Custody
import CustodyPolicy
import CustodyScenario
import Foundation
import KVMBackend
import SimulationBackend
import Testing

/// One scenario is one sequence of ownership events, whatever carries it out.
///
/// What may differ is the time of an event and who enforces an ownership; neither is in an event's line.
@Suite(.enabled(if: FileManager.default.fileExists(atPath: "/dev/kvm"), "this host has no /dev/kvm"))
struct SameEventsTests {
    private func guest() throws -> GuestConfiguration {
        let region = try PageRange(address: GuestPhysicalAddress(2 << 20), byteCount: 64 << 20)
        return GuestConfiguration(layout: try GuestMemoryLayout(regions: [region]))
    }

    private func play(_ backend: any MemoryBackend) throws -> ScenarioReport {
        defer { backend.shutDown() }
        var runner = ScenarioRunner(backend: backend)
        return runner.run(try BuiltIn.scenario())
    }

    @Test(
        "the built-in scenario gives the same events on the simulation and on a real guest",
        arguments: [(KVMMode.dual, ContentsEffect.zeroed), (.revoked, .preserved)]
    )
    func sameEvents(mode: KVMMode, contents: ContentsEffect) throws {
        let real = try play(try KVMBackend(guest(), mode: mode))
        let simulated = try play(
            SimulationBackend(guest: guest(), options: SimulationOptions(contents: contents))
        )
        #expect(real.isAsExpected)
        #expect(simulated.isAsExpected)
        #expect(real.events.count > 40)
        #expect(real.events.map { "\($0.kind)" } == simulated.events.map { "\($0.kind)" })
        #expect(real.ownership == simulated.ownership)
    }
}
