import Custody
import CustodyConfiguration
import CustodyScenario
import CustodyTestSupport
import CustodyTrace
import SimulationBackend
import Testing

/// Whole plays on two back ends side by side: everything that a play drives is driven on both, or the play says what is
/// not.
@Suite struct LockstepPlayTests {
    private func pair(_ options: SimulationOptions, _ other: SimulationOptions? = nil) throws -> LockstepBackend {
        try LockstepBackend(TraceFixture.backend(options), beside: TraceFixture.backend(other ?? options))
    }

    private let modules = SimulationOptions(contents: .preserved, latency: .zero, modules: true)

    private func play(_ steps: String, on pair: LockstepBackend) throws -> ScenarioReport {
        try Scenario(YAMLReader.read("name: x\nsteps:\n" + steps, file: "s.yaml")).play(on: pair)
    }

    private func expectInStep(_ steps: String, _ options: SimulationOptions) throws {
        let pair = try pair(options)
        let report = try play(steps, on: pair)
        #expect(report.steps.compactMap(\.failure) == [])
        #expect(pair.difference?.description == nil)
        #expect(pair.uncompared == [])
    }

    @Test func otherProcessesAreDrivenOnBoth() throws {
        try expectInStep(
            """
              - {neighbour: backup, does: map, at: 2MiB, size: 4KiB}
              - {neighbour: backup, does: write, at: 2MiB, hex: "010203"}
              - {neighbour: backup, does: read, at: 2MiB, hex: "010203"}
              - {host: read, at: 2MiB, hex: "010203"}
              - {host: convert, target: private, at: 2MiB, size: 64KiB, expect: pending, held-by: backup}
              - {neighbour: backup, does: release}
              - {settled: completed}
              - {host: probe, at: 2MiB, expect: stopped}
              - {guest: read, at: 2MiB, hex: "010203"}

            """,
            modules
        )
    }

    @Test func aHandoverThatIsWithdrawnIsWithdrawnOnBoth() throws {
        try expectInStep(
            """
              - {neighbour: backup, does: map, at: 2MiB, size: 64KiB}
              - {host: convert, target: private, at: 2MiB, size: 64KiB, expect: pending, held-by: backup}
              - {host: cancel}
              - {neighbour: backup, does: release}
              - {host: convert, target: private, at: 2MiB, size: 64KiB}

            """,
            modules
        )
    }

    /// A guest that keeps a module keeps it on both.
    @Test func aGuestAnswersBoth() throws {
        try expectInStep(
            """
              - {guest: removals, answer: refuse}
              - {host: convert, target: host, at: 2MiB, size: 64KiB, expect: pending}
              - {settled: failed}
              - {guest: removals, answer: accept}
              - {host: convert, target: host, at: 2MiB, size: 64KiB, expect: pending}
              - {settled: completed}
              - {check: host, at: 2MiB, size: 64KiB}

            """,
            modules
        )
    }

    private static let kernel = """
          - {host: write, at: 2MiB, text: x}
          - {kernel: hold, at: 2MiB, as: dma, steps: 0, accesses: 0}
          - {host: convert, target: private, at: 2MiB, size: 4KiB, expect: pending, held-by: dma}
          - {process: dma, expect: "0"}
          - {settled: completed}
          - {saw: []}

        """

    @Test func theKernelIsDrivenOnBoth() throws {
        try expectInStep(Self.kernel, SimulationOptions(latency: .zero))
    }

    /// What differs in the kernel's own steps is a difference.
    @Test func aKernelOfAnotherKindIsFound() throws {
        let pair = try pair(SimulationOptions(), SimulationOptions(pagesPerFolio: 2))
        _ = try play("  - {host: write, at: 2MiB, text: x}\n  - {state: all, at: 2MiB}\n", on: pair)
        #expect(pair.difference?.call == "the state of a page")
    }

    /// A back end beside it that cannot follow is no silence: the play goes on, and what was not compared is named.
    @Test func whatIsNotComparedIsNamed() throws {
        let real = try TraceFixture.backend(modules)
        let pair = try LockstepBackend(real, beside: try ForwardingBackend(TraceFixture.backend(modules)))
        let report = try play(
            """
              - {neighbour: backup, does: map, at: 2MiB, size: 4KiB}
              - {neighbour: backup, does: release}
              - {guest: read, at: 2MiB, size: 1}
              - {backed: some, at: 2MiB, size: 4KiB}
              - {saw: []}

            """,
            on: pair
        )
        #expect(report.steps.compactMap(\.failure) == [])
        #expect(
            pair.uncompared == [
                "other processes at the guest's memory", "the guest's own accesses",
                "how much memory is behind pages", "the kernel's own steps",
            ]
        )
    }
}
