import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyScenario
import CustodyTestSupport
import CustodyTrace
import SimulationBackend
import Testing

/// The oracle beside a play: what a back end breaks is found, and what is honest is not called broken.
@Suite struct PromisePlayTests {
    private func play(_ backend: any MemoryBackend, _ steps: String) throws -> ScenarioReport {
        try Scenario(YAMLReader.read("name: x\nsteps:\n" + steps, file: "s.yaml")).play(on: backend)
    }

    private static let handover = """
          - {device: nic, does: pin, at: 0, size: 4KiB}
          - {host: convert, target: private, at: 0, size: 4KiB, expect: pending, held-by: nic}
          - {device: nic, does: release}
          - {settled: completed}

        """

    @Test func aHostThatIsLetInIsFound() throws {
        let steps =
            "  - {host: convert, target: private, at: 0, size: 4KiB}\n  - {host: probe, at: 0, expect: reached}\n"
        let report = try play(try PlantedFault.letsTheHostIn.backend(), steps)
        #expect(report.steps.map(\.broken?.rule) == [nil, .enforced])
        #expect(!report.isAsExpected)
    }

    @Test func workOnTheReleasingThreadIsFound() throws {
        let report = try play(try PlantedFault.runsOnTheCaller.backend(), Self.handover)
        #expect(report.steps.map(\.broken?.rule) == [nil, nil, .releaseReturns, nil])
        #expect(report.steps[2].failure?.hasPrefix("promise 5 is broken (release-returns): ") == true)
    }

    @Test func aHandoverThatIsForgottenIsFound() throws {
        let steps = "  - {host: convert, target: private, at: 0, size: 4KiB, expect: pending}\n  - {wait: 1s}\n"
        let report = try play(try PlantedFault.forgets.backend(), steps)
        #expect(report.steps.compactMap(\.failure) == [])
        #expect(report.forgotten == [TicketID(rawValue: 1)] && !report.isAsExpected)
    }

    /// The hand-over ends before the request that it is registered for has its answer.
    @Test func aBackEndThatIsQuickKeepsItsPromises() throws {
        let steps =
            "  - {host: convert, target: private, at: 0, size: 4KiB, expect: pending}\n  - {settled: completed}\n"
        let report = try play(try PlantedFault.isQuick.backend(), steps)
        #expect(report.steps.compactMap(\.failure) == [] && report.isAsExpected)
        #expect(report.broken == nil)
        // It is the case that is meant: told of in another order than it took effect in.
        let ends = report.events.map { event in if case .settled = event.kind { true } else { false } }
        #expect(ends.contains(true))
    }

    @Test func aReleaseHandsOverWhatFollows() throws {
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<16))
        )
        #expect(try play(backend, Self.handover).isAsExpected)
    }

    /// A request that is trivially done does not make the last release of another one's hand-over a no-op.
    @Test func aRefusedRequestBesideAHandoverIsNoAlarm() throws {
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<16))
        )
        let report = try play(
            backend,
            """
              - {device: nic, does: pin, at: 0, size: 4KiB}
              - {guest: request, target: private, at: 0, size: 4KiB, expect: retry}
              - {guest: request, target: private, at: 1TiB, size: 4KiB, expect: refused}
              - {device: nic, does: release}
              - {settled: completed}
              - {check: private, at: 0, size: 4KiB}

            """
        )
        #expect(report.steps.compactMap(\.failure) == [] && report.isAsExpected)
    }

    /// A wait for what does not end costs what it costs to look now and then, however long it may be.
    @Test func aLongWaitIsFewLooks() throws {
        let executor = CountingExecutor()
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<16), initially: .shared, executor: executor)
        let report = try play(
            backend,
            """
              - {device: nic, does: pin, at: 0, size: 4KiB}
              - {host: convert, target: private, at: 0, size: 4KiB, expect: pending}
              - {settled: completed, within: 36000s}

            """
        )
        #expect(report.steps.last?.failure?.contains("pending") == true)
        #expect(executor.now >= Timestamp.zero.advanced(by: .seconds(36_000)))
        // 64 of the first 5 ms, and then fewer than 64 for each of the 17 doublings from 320 ms to 36,000 s.
        #expect(executor.passes <= 64 + 64 * 17)
    }

    /// A guest that is expected not to answer holds the hand-over up: nothing is forgotten.
    @Test func aSilentGuestIsNoAlarm() throws {
        let region = try PageRange(address: GuestPhysicalAddress(4 << 30), byteCount: 1 << 20)
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(regions: [region])),
            options: SimulationOptions(initial: .host, modules: true)
        )
        let report = try play(
            backend,
            """
              - {guest: removals, answer: ignore}
              - {host: convert, target: shared, at: 4GiB, size: 1MiB}
              - {host: convert, target: host, at: 4GiB, size: 1MiB, expect: pending, held-by: guest}

            """
        )
        #expect(report.steps.compactMap(\.failure) == [] && report.isAsExpected)
        #expect(report.forgotten == [])
    }

    /// What a play discards goes through its controller: there is an event of it, and rules of the controller hold.
    @Test func aDiscardIsAnEvent() throws {
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<16)),
            options: SimulationOptions(faults: [Fault(at: .discard, occurrence: 2, .fail(.system))])
        )
        let steps = """
              - {host: discard, at: 0, size: 4KiB}
              - {host: discard, at: 4KiB, size: 4KiB, expect: failed}
              - {host: discard, at: 1TiB, size: 4KiB, expect: failed}

            """
        let report = try play(backend, steps)
        #expect(report.isAsExpected)
        #expect(
            report.events.map { "\($0.kind)" } == [
                "discarded: contents of 0x0-0xfff (4 KiB)",
                "not discarded: contents of 0x1000-0x1fff (4 KiB), system, injected at discard",
            ]
        )
    }

    /// One rendering of a refusal and its cause: in the step, in the event, and in the trace.
    @Test func aCauseIsShownAlikeEverywhere() throws {
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<16)),
            options: SimulationOptions(faults: [
                Fault(at: .commit, occurrence: 1, .fail(.system)), Fault(at: .commit, occurrence: 2, .fail(.system)),
                Fault(at: .commit, occurrence: 3, .fail(.system)),
            ])
        )
        let steps = """
              - {guest: request, target: private, at: 0, size: 4KiB, expect: refused}
              - {host: convert, target: private, at: 0, size: 4KiB, expect: refused}
              - {device: nic, does: pin, at: 0, size: 4KiB}
              - {host: convert, target: private, at: 0, size: 4KiB, expect: pending}
              - {device: nic, does: release}
              - {settled: failed}

            """
        let report = try play(backend, steps)
        #expect(report.isAsExpected)
        let cause = "system, injected at commit"
        let text = "backend, the back end could not do it: \(cause)"
        #expect(report.steps[0].outcome == "refused: \(text)")
        #expect(report.steps[1].outcome == "refused: \(text)")
        #expect(report.steps[4].outcome == "ok; hand-over #1 failed: \(cause)")
        for event in report.events {
            let line = "\(event.kind)"
            switch TraceEvent(event.kind) {
            case .failed(_, let error):
                #expect(error.description == text)
                #expect(line.hasSuffix(text))
            case .settled(_, let result):
                #expect("\(result)" == "failed: \(cause)")
                #expect(line.hasSuffix("failed: \(cause)"))
            default: break
            }
        }
    }

    /// What may work later a guest is told to ask for again; what never will it is refused.
    @Test(
        arguments: [
            (.resourcesExhausted, true), (.busy, true), (.disconnected, true), (.system, false), (.unsupported, false),
            (.invalidArgument, false), (.poisoned, false), (.lost, false), (.guestFailed, false),
        ] as [(BackendError.Code, Bool)]
    )
    func aTransientErrorIsToBeTriedAgain(code: BackendError.Code, isTransient: Bool) throws {
        #expect(code.isTransient == isTransient)
        guard code != .disconnected, code != .lost else { return }
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<16)),
            options: SimulationOptions(faults: [Fault(at: .commit, occurrence: 1, .fail(code))])
        )
        let reply = isTransient ? "retry" : "refused"
        let steps = """
              - {guest: request, target: private, at: 0, size: 4KiB, expect: \(reply)}
              - {guest: request, target: private, at: 0, size: 4KiB, expect: done}

            """
        let report = try play(backend, steps)
        #expect(report.steps.compactMap(\.failure) == [])
    }

    /// A time that cannot be had is refused where it stands; so are steps that wait longer than there is time.
    @Test(arguments: [
        ("{wait: 153722867min}", "3:11"), ("{settled: completed, within: 153722867min}", "3:33"),
        ("{device: nic, does: pin, at: 0, size: 4KiB, hold: 9223372036s}", "3:54"),
        ("{host: convert, target: private, at: 0, size: 4KiB, deadline: 9223372036s}", "3:66"),
    ])
    func aTimeThatCannotBeHadIsRefused(step: String, place: String) {
        let text = "name: x\nsteps:\n - \(step)\n"
        do throws(ConfigurationError) {
            _ = try Scenario(YAMLReader.read(text, file: "s.yaml"))
            Issue.record("\(step) is accepted")
        } catch {
            #expect("\(error.location)" == "s.yaml:\(place)", "\(error)")
            #expect(error.message.contains("a hundred years"))
        }
    }

    @Test func stepsDoNotWaitLongerThanThereIsTime() throws {
        let year = "{wait: 525600min}"
        let wait = "  - \(year)\n"
        let text = "name: x\nsteps:\n" + String(repeating: wait, count: 101)
        let error = #expect(throws: ConfigurationError.self) { try Scenario(YAMLReader.read(text, file: "s.yaml")) }
        #expect(error?.location.line == 103)
        let most = "name: x\nsteps:\n" + String(repeating: wait, count: 100)
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<16))
        )
        #expect(try Scenario(YAMLReader.read(most, file: "s.yaml")).play(on: backend).isAsExpected)
    }
}
