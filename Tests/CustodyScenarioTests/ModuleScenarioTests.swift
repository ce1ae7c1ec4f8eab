import Custody
import CustodyConfiguration
import CustodyPolicy
import CustodyScenario
import SimulationBackend
import Testing

/// Memory that comes and goes a region at a time, on the simulation.
@Suite struct ModuleScenarioTests {
    private func play(_ steps: String, initial: Ownership = .shared) throws -> ScenarioReport {
        let regions = try [UInt64(4 << 30), 5 << 30].map {
            try PageRange(address: GuestPhysicalAddress($0), byteCount: 16 << 20)
        }
        let guest = GuestConfiguration(layout: try GuestMemoryLayout(regions: regions))
        let options = SimulationOptions(initial: initial, contents: .preserved, modules: true)
        var runner = ScenarioRunner(backend: SimulationBackend(guest: guest, options: options))
        return runner.run(try Scenario(YAMLReader.read("name: x\nsteps:\n" + steps, file: "s.yaml")))
    }

    private func expectAsExpected(_ report: ScenarioReport) {
        for step in report.steps where step.failure != nil {
            Issue.record("\(step.step.location): \(step.failure ?? "")")
        }
        #expect(report.isAsExpected)
    }

    /// The guest was asked and said nothing until the deadline: the pages are as before, and it is still asked. When it
    /// gives the memory up after all the host takes it.
    @Test func whatComesTooLateIsTaken() throws {
        let report = try play(
            """
            - {guest: removals, answer: ignore}
            - {host: convert, target: host, at: 4GiB, size: 16MiB, deadline: 1ms, expect: pending, held-by: guest}
            - {settled: expired, within: 10ms}
            - {check: shared, at: 4GiB, size: 16MiB}
            - {guest: removals, answer: accept}
            - {wait: 1ms}
            """
        )
        let last = report.ownership.map { "\($0.range.address) \($0.state)" }
        #expect(last == ["0x100000000 host", "0x140000000 shared"])
    }

    @Test func aModuleGoesAsAWhole() throws {
        expectAsExpected(
            try play(
                """
                - {host: convert, target: host, at: 4GiB, size: 8MiB, expect: refused}
                - {host: convert, target: private, at: 4GiB, size: 8MiB}
                - {host: convert, target: host, at: 4GiB, size: 16MiB, expect: refused}
                - {host: convert, target: private, at: 4GiB, size: 16MiB}
                - {host: convert, target: host, at: 4GiB, size: 16MiB, expect: pending}
                - {settled: completed}
                - {host: convert, target: shared, at: 4GiB, size: 8MiB, expect: refused}
                - {host: convert, target: private, at: 4GiB, size: 16MiB}
                """
            )
        )
    }

    /// Another process holds any page of a module up by any of them that it has mapped: it can grow its mapping.
    @Test func anotherProcessIsWaitedFor() throws {
        expectAsExpected(
            try play(
                """
                - {neighbour: backup, does: map, at: 4GiB, size: 4MiB}
                - {neighbour: backup, does: map, at: 5GiB, size: 4MiB, expect: failed}
                - {host: convert, target: private, at: 4104MiB, size: 4MiB, expect: pending, held-by: backup}
                - {neighbour: other, does: map, at: 4GiB, size: 4MiB, expect: refused}
                - {host: convert, target: shared, at: 4104MiB, size: 4MiB}
                - {host: convert, target: host, at: 4GiB, size: 16MiB, expect: pending, held-by: backup}
                - {neighbour: backup, does: release}
                - {settled: completed}
                """
            )
        )
    }
}
