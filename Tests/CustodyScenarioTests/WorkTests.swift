import Custody
import CustodyConfiguration
import CustodyOptions
import CustodyScenario
import CustodyTestSupport
import SimulationBackend
import Testing

/// The numbers of a small file are not the work of hours: each has a bound, and so has what they come to together.
@Suite struct WorkTests {
    private func scenario(_ steps: [String]) throws(ConfigurationError) -> Scenario {
        let text = "name: x\nsteps:\n" + steps.map { " - \($0)\n" }.joined()
        return try Scenario(YAMLReader.read(text, file: "s.yaml"))
    }

    @Test(arguments: [
        "{host: write, at: 0, fill: 1, size: 1MiB}", "{host: read, at: 0, size: 1MiB}",
        "{guest: write, at: 0, fill: 1, size: 1MiB}", "{guest: read, at: 0, size: 1MiB}",
        "{device: nic, does: write, at: 0, fill: 1, size: 1MiB}", "{device: nic, does: read, at: 0, size: 1MiB}",
        "{neighbour: x, does: write, at: 0, fill: 1, size: 1MiB}", "{neighbour: x, does: read, at: 0, size: 1MiB}",
    ])
    func theBytesOfAllStepsHaveABound(step: String) throws {
        #expect(try scenario(Array(repeating: step, count: 64)).steps.count == 64)
        let error = #expect(throws: ConfigurationError.self) { try scenario(Array(repeating: step, count: 1000)) }
        #expect(error?.location.line == 2 + 65, "at the step, and before the rest is read")
        #expect(error?.message == "the steps up to here store and load more than 64 MiB")
    }

    @Test(arguments: [
        "{host: convert, target: private, at: 0, size: 1PiB}", "{host: discard, at: 0, size: 1PiB}",
        "{backed: none, at: 0, size: 1PiB}",
    ])
    func thePagesOfAllStepsHaveABound(step: String) throws {
        let backend = FakeBackend(
            try GuestMemoryLayout(pages: 0..<(1 << 38)),
            initially: .shared,
            executor: VirtualExecutor()
        )
        let report = try scenario([step]).play(on: backend)
        #expect(
            report.steps[0].failure
                == "by this step, more than 16 GiB are to be changed, discarded or measured in one play"
        )
        #expect(backend.calls.isEmpty)
    }

    @Test func thePagesOfStepsAreAddedUp() throws {
        let backend = FakeBackend(
            try GuestMemoryLayout(pages: 0..<(1 << 38)),
            initially: .shared,
            executor: VirtualExecutor()
        )
        let steps = ["private", "shared", "private"].map { "{host: convert, target: \($0), at: 0, size: 8GiB}" }
        let report = try scenario(steps).play(on: backend)
        #expect(report.steps.map { $0.failure == nil } == [true, true, false])
        // What is no memory is no work.
        let small = FakeBackend(try GuestMemoryLayout(pages: 0..<16), initially: .shared, executor: VirtualExecutor())
        let beyond = "{host: convert, target: private, at: 0, size: 1PiB, expect: refused}"
        #expect(try scenario([beyond, beyond]).play(on: small).isAsExpected)
    }
}
