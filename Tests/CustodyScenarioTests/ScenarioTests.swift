import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyScenario
import CustodyTestSupport
import SimulationBackend
import Testing

@Suite struct ScenarioTests {
    private func scenario(_ steps: String) throws(ConfigurationError) -> Scenario {
        try Scenario(YAMLReader.read("name: test\nsteps:\n" + steps, file: "s.yaml"))
    }

    private func run(_ steps: String) throws -> ScenarioReport {
        let layout = try GuestMemoryLayout(regions: [PageRange(address: GuestPhysicalAddress(0), byteCount: 1 << 20)])
        var runner = ScenarioRunner(
            backend: SimulationBackend(guest: GuestConfiguration(layout: layout, processors: 2))
        )
        return runner.run(try scenario(steps))
    }

    private func failures(_ steps: String) throws -> [String] {
        try run(steps).steps.compactMap { step in step.failure.map { "\(step.step.location): \($0)" } }
    }

    private func error(_ steps: String) -> String {
        do throws(ConfigurationError) { _ = try scenario(steps) } catch { return "\(error)" }
        return "accepted"
    }

    /// Every expectation that there is, broken: what is reported has the step's file, line and column.
    @Test(arguments: [
        ("{host: read, at: 0, text: \"x\"}", "expected \"x\", not 1 zero bytes"),
        ("{guest: read, at: 0, text: \"x\"}", "expected \"x\", not 1 zero bytes"),
        ("{host: read, at: 0, size: 1, expect: refused}", "expected refused, not reached"),
        ("{host: probe, at: 0, expect: stopped}", "expected stopped, not reached"),
        ("{guest: write, at: 0, text: a, expect: stopped}", "expected stopped, not reached"),
        ("{guest: request, target: private, at: 0, size: 4KiB, expect: retry}", "expected retry, not done"),
        ("{guest: request, target: private, at: 0, size: 1, expect: done}", "expected done, not refused"),
        ("{host: convert, target: private, at: 0, size: 4KiB, expect: pending}", "expected pending, not completed"),
        ("{host: convert, target: host, at: 0, size: 4KiB}", "expected completed, not refused"),
        (
            "{host: convert, target: private, at: 0, size: 4KiB, held-by: nic}",
            "nic should be named as a holder"
        ),
        ("{check: private, at: 0, size: 4KiB}", "expected private, not shared"),
        ("{check: shared, at: 2MiB, size: 4KiB}", "expected shared, not no memory"),
        ("{settled: completed}", "expected completed, not none was pending"),
        ("{host: cancel}", "expected withdrawn, not too late"),
        ("{device: nic, does: release}", "nic holds nothing"),
        ("{device: nic, does: write, at: 0, text: x}", "nic holds nothing"),
        ("{device: nic, does: read, at: 0, size: 1}", "nic holds nothing"),
        ("{device: nic, does: pin, at: 0, size: 4KiB, expect: refused}", "expected refused, not reached"),
        ("{device: nic, does: pin, at: 2MiB, size: 4KiB}", "expected reached, not refused"),
        (
            "{host: convert, target: private, at: 0, size: 4KiB, rule: rate}",
            "expected the rule rate to decide, not none"
        ),
        ("{kernel: punch-hole, at: 0, size: 1TiB}", "expected 0; it answered -EINVAL: error"),
    ])
    func aBrokenExpectationIsReportedWithItsPlace(step: String, failure: String) throws {
        let steps = "  - {wait: 1ms}\n  -  \(step)\n"
        #expect(try failures(steps) == ["s.yaml:4:6: \(failure)"])
        #expect(try !run(steps).isAsExpected)
    }

    /// A scenario's own rules, limits and pool take the place of the ones given with it.
    @Test(
        arguments: [
            ("", "expect: retry, rule: shared-budget", nil),
            ("policy: {deny: no}", "expect: refused, rule: deny", nil),
            ("policy: {}", "expect: done", nil),
            ("policy: {}\npool: {name: x, shared: 4KiB}", "expect: retry, rule: shared-pool", nil),
            ("policy: {}\nlimits: {bytes-per-request: 4KiB}", "expect: retry", nil),
            ("policy: {deny: no}", "expect: refused, rule: rate", "expected the rule rate to decide, not deny"),
        ] as [(String, String, String?)]
    )
    func aScenarioIsPlayedUnderItsOwnRules(head: String, expectation: String, failure: String?) throws {
        let text = "name: x\n\(head)\nsteps: [{guest: request, target: shared, at: 0, size: 8KiB, \(expectation)}]\n"
        let guest = GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<256))
        let report = try Scenario(YAMLReader.read(text, file: "s.yaml")).play(
            on: SimulationBackend(guest: guest, options: SimulationOptions(initial: .private)),
            policy: SharedBudget(pages: 0),
            limits: ControllerLimits(pagesPerGuestRequest: 256)
        )
        #expect(report.steps.first?.failure == failure)
    }

    @Test func aRuleIsExpectedOfRequestsAlone() {
        #expect(error("  - {check: shared, at: 0, size: 4KiB, rule: rate}\n").contains("unknown key ‘rule’"))
    }

    @Test func aStepThatFailsDoesNotEndThePlay() throws {
        let report = try run("  - {check: private, at: 0, size: 4KiB}\n  - {check: shared, at: 0, size: 4KiB}\n")
        #expect(report.steps.map { $0.failure == nil } == [false, true])
    }

    @Test func handOversOfEveryEnd() throws {
        let steps = """
              - {device: nic, does: pin, queue: rx, purpose: buffers, at: 0, size: 4KiB}
              - {host: convert, target: private, at: 0, size: 8KiB, expect: pending, held-by: nic}
              - {check: in-transit, at: 0, size: 8KiB}
              - {host: cancel}
              - {settled: cancelled}
              - {check: shared, at: 0, size: 8KiB}
              - {host: convert, target: private, at: 0, size: 8KiB, deadline: 2ms, expect: pending}
              - {wait: 1ms}
              - {check: in-transit, at: 0, size: 8KiB}
              - {wait: 1ms}
              - {settled: expired}
              - {check: shared, at: 0, size: 8KiB}
              - {host: convert, target: private, at: 0, size: 8KiB, expect: pending}
              - {device: nic, does: write, at: 0, text: last}
              - {device: nic, does: read, at: 0, text: last}
              - {device: nic, does: release}
              - {settled: completed}
              - {guest: read, vcpu: 1, at: 0, size: 4}
              - {guest: request, vcpu: 1, target: host, at: 0, size: 8KiB}
              - {check: host, at: 0, size: 8KiB}
              - {guest: read, at: 0, size: 4, expect: stopped}
              - {host: write, at: 0, fill: 255, size: 8KiB}

            """
        #expect(try failures(steps).isEmpty)
    }

    @Test(arguments: [
        (
            "  - {}\n",
            "s.yaml:3:5: error: a step has exactly one of the keys guest, host, device, neighbour, wait, check, backed, settled, kernel, process, state, saw"
        ),
        (
            "  - {host: read, guest: read}\n",
            "s.yaml:3:5: error: a step has exactly one of the keys guest, host, device, neighbour, wait, check, backed, settled, kernel, process, state, saw"
        ),
        ("  - wait\n", "s.yaml:3:5: error: expected keys with values, not ‘wait’"),
        ("  - {wait: soon}\n", "s.yaml:3:12: error: ‘wait’ must be a time such as 500ns, 10us, 20ms or 1s, not ‘soon’"),
        (
            "  - {host: raed, at: 0, size: 1}\n",
            "s.yaml:3:12: error: unknown value of ‘host’ ‘raed’; did you mean ‘read’? (accepted: convert, write, read, probe, discard, cancel, mark)"
        ),
        ("  - {host: read, size: 1}\n", "s.yaml:3:5: error: the key ‘at’ is missing here"),
        ("  - {host: read, at: 0}\n", "s.yaml:3:5: error: the key ‘size’ is missing here"),
        ("  - {host: write, at: 0}\n", "s.yaml:3:5: error: the key ‘text’ is missing here"),
        (
            "  - {host: write, at: 0, fill: 256, size: 1}\n",
            "s.yaml:3:32: error: ‘fill’ must be a whole number from 0 to 255, not ‘256’"
        ),
        ("  - {host: read, at: 0, size: 2MiB}\n", "s.yaml:3:31: error: one step touches at most 1 MiB"),
        (
            "  - {host: read, at: 0, size: 1, expect: stopped}\n",
            "s.yaml:3:42: error: unknown value of ‘expect’ ‘stopped’ (accepted: reached, refused, failed)"
        ),
        ("  - {check: shared, at: 1, size: 1}\n", "s.yaml:3:5: error: the range is not a multiple of 4 KiB"),
        ("  - {guest: request, at: 0, size: 4KiB}\n", "s.yaml:3:5: error: the key ‘target’ is missing here"),
        ("  - {device: nic, at: 0}\n", "s.yaml:3:5: error: the key ‘does’ is missing here"),
        (
            "  - {settled: done}\n",
            "s.yaml:3:15: error: unknown value of ‘settled’ ‘done’ (accepted: completed, cancelled, expired, failed)"
        ),
        ("  - {host: cancel, att: 0}\n", "s.yaml:3:20: error: unknown key ‘att’ (accepted: host)"),
        ("  []\n", "s.yaml:3:3: error: ‘steps’ has no item"),
        ("  - {kernel: pin, at: 0, size: 6KiB}\n", "s.yaml:3:32: error: 6 KiB must be a multiple of 4 KiB"),
        (
            "  - {host: write, at: 0, text: a, size: 4}\n",
            "s.yaml:3:5: error: bytes are a text, or hexadecimal digits, or one of a size"
        ),
        (
            "  - {host: write, at: 0, hex: 0g}\n",
            "s.yaml:3:31: error: ‘hex’ must be an even number of hexadecimal digits"
        ),
        ("  - {host: write, at: 0, size: 4}\n", "s.yaml:3:5: error: the key ‘fill’ is missing here"),
        (
            "  - {process: p, steps: 1, expect: 0}\n",
            "s.yaml:3:28: error: unknown key ‘expect’ (accepted: process, steps, waits)"
        ),
        (
            "  - {kernel: pin, at: 0, as: p, stuck: count}\n",
            "s.yaml:3:33: error: unknown key ‘stuck’ (accepted: accesses, as, at, atomic, caller, kernel, size, space, steps, writes)"
        ),
        (
            "  - {kernel: pin, at: 0, expect: [0]}\n",
            "s.yaml:3:34: error: ‘expect’ must be one of 0, -EAGAIN, -ENOENT, -EINVAL, -ENOMEM, -EFAULT, -EHWPOISON, SIGBUS, -EBUSY, -EINPROGRESS, not a list"
        ),
        ("  x: 1\n", "s.yaml:3:3: error: ‘steps’ must be a list, not a mapping"),
        (
            "  - {guest: null, at: 0, size: 4KiB}\n",
            "s.yaml:3:13: error: ‘guest’ must be one of request, write, read, removals, not nothing"
        ),
    ])
    func faultyStepsAreRefusedWithTheirPlace(steps: String, message: String) {
        #expect(error(steps) == message)
    }

    @Test func aScenarioHasANameAndSteps() throws {
        let steps = "steps: [{wait: 1ms}]"
        for text in [steps, "name: x", "name: x\nsteps: []", "name: [x]\n\(steps)", "name: x\n\(steps)\nstep: []", ""] {
            #expect(throws: ConfigurationError.self) { try Scenario(YAMLReader.read(text, file: "s.yaml")) }
        }
        #expect(try Scenario(YAMLReader.read("name: x\n\(steps)", file: "s.yaml")).steps.count == 1)
    }

    /// What is no RAM has no ownership, and an audit does not ask for one.
    @Test func aRangeWithAHoleIsAudited() throws {
        let regions = [try PageRange(start: PageNumber(0), count: 8), try PageRange(start: PageNumber(64), count: 8)]
        let layout = try GuestMemoryLayout(regions: regions)
        var runner = ScenarioRunner(
            backend: SimulationBackend(guest: GuestConfiguration(layout: layout)),
            limits: ControllerLimits(holes: .ignore)
        )
        let report = runner.run(
            try scenario(
                """
                  - {guest: request, target: private, at: 0, size: 288KiB, expect: done}
                  - {guest: request, target: private, at: 0, size: 288KiB, expect: done}
                  - {device: nic, does: pin, at: 260KiB, size: 4KiB, expect: refused}
                  - {guest: request, target: shared, at: 0, size: 288KiB, expect: done}
                  - {device: nic, does: pin, at: 260KiB, size: 4KiB}
                  - {host: convert, target: private, at: 0, size: 288KiB, expect: pending}
                  - {host: cancel}
                  - {host: convert, target: private, at: 16KiB, size: 256KiB, expect: pending}
                  - {device: nic, does: release}
                  - {check: private, at: 256KiB, size: 16KiB}

                """
            )
        )
        #expect(report.steps.compactMap(\.failure) == [] && report.isAsExpected)
    }
}
