import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyProtocols
import CustodyScenario
import Foundation
import SimulationBackend
import Testing

/// The scenario files of the project, on the simulation: what they expect is what happens, and a protocol that is
/// broken does not pass for a whole one.
@Suite struct ProtocolScenarioTests {
    /// `Examples/Scenarios`, found from this file.
    static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(components: "Examples", "Scenarios")

    /// The names of the files; none where the folder is missing, which a test of its own reports.
    static let files: [String] =
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.path(percentEncoded: false))) ?? [])
        .filter { $0.hasSuffix(".yaml") }.sorted()

    private func path(_ file: String) -> String {
        ProtocolScenarioTests.folder.appending(component: file).path(percentEncoded: false)
    }

    /// Plays a file with the built-in configuration, as `custody run` does, after a change to its own options.
    private func play(
        _ file: String,
        changing change: (inout SimulationOptions) -> Void = { _ in }
    ) throws -> ScenarioReport {
        let configuration = try BuiltIn.configuration(BackendRegistry([SimulationProvider()]))
        let scenario = try Scenario(contentsOf: path(file))
        var options = try scenario.options(for: "simulation").map(SimulationOptions.init) ?? SimulationOptions()
        change(&options)
        let backend = SimulationBackend(guest: configuration.guest, options: options)
        return scenario.play(on: backend, policy: configuration.policy, limits: configuration.limits)
    }

    private func failures(_ report: ScenarioReport) -> [String] {
        report.steps.compactMap { step in step.failure.map { "\(step.step.location): \($0)" } }
    }

    /// Everything that a timeline could show, and every event with its time.
    private func lines(_ report: ScenarioReport) -> [String] {
        report.steps.flatMap { step in
            ["\(step.began.rawValue) \(step.ended.rawValue) \(step.actor) \(step.deed) \(step.outcome)"]
                + step.events.map { "\($0.time.rawValue) \($0.kind)" }
        }
    }

    @Test func thereAreFilesOfEveryFamily() {
        #expect(!ProtocolScenarioTests.files.isEmpty, "\(ProtocolScenarioTests.folder) has no scenario")
        for family in ["v5-", "question-", "v13-c", "promise-", "fault-", "policy-"] {
            #expect(ProtocolScenarioTests.files.contains { $0.hasPrefix(family) }, "no \(family)….yaml")
        }
        #expect(ProtocolScenarioTests.files.count { $0.hasPrefix("v13-c") } == 9)
    }

    @Test(arguments: files) func saysWhereItsRuleComesFrom(file: String) throws {
        let text = try String(contentsOf: ProtocolScenarioTests.folder.appending(component: file), encoding: .utf8)
        let comment = text.split(separator: "\n").prefix { $0.hasPrefix("#") }.joined(separator: "\n")
        #expect(comment.contains("# Source: "))
        #expect(comment.contains("# Expected"))
    }

    @Test(arguments: files) func goesAsExpectedAndTheSameWayTwice(file: String) throws {
        let first = try play(file)
        #expect(failures(first) == [])
        #expect(first.isAsExpected)
        let second = try play(file)
        #expect(lines(first) == lines(second))
        #expect(first.ownership == second.ownership)
    }

    @Test(arguments: files) func goesAsExpectedWithEveryInterleaving(file: String) throws {
        for seed: UInt64 in 1...20 {
            let report = try play(file) { options in
                options.seed = seed
                options.interleaves = true
            }
            #expect(failures(report) == [], "seed \(seed)")
        }
    }

    @Test(arguments: files) func everyHandoverEndsOnce(file: String) throws {
        var ends: [TicketID: Int] = [:]
        for event in try play(file).events {
            if case .settled(let ticket, _) = event.kind { ends[ticket.id, default: 0] += 1 }
        }
        #expect(ends.values.allSatisfy { $0 == 1 })
    }

    /// The portable promises need no kernel whose protocol can be driven, and no option of any back end.
    @Test(arguments: files.filter { $0.hasPrefix("promise-") }) func promisesArePortable(file: String) throws {
        let scenario = try Scenario(contentsOf: path(file))
        #expect(scenario.options(for: "simulation") == nil)
        for step in scenario.steps {
            switch step.action {
            case .kernelCalls, .processBegins, .processAdvances, .processFinishes, .kernelState, .kernelSaw:
                Issue.record("\(step.location): a step of the kernel")
            default: break
            }
        }
    }

    // MARK: What the files rely on

    private func options(_ text: String) throws(ConfigurationError) -> SimulationOptions {
        try SimulationOptions(ConfigurationSection(YAMLReader.read(text, file: "s.yaml")))
    }

    @Test func aFileBeginsSharedOrPrivate() throws {
        #expect(try options("seed: 1").initial == .shared)
        #expect(try options("initial: shared").initial == .shared)
        #expect(try options("initial: private").initial == .private)
        #expect(throws: ConfigurationError.self) { try options("initial: in-transit") }
    }

    /// An access that the ledger refuses, one that the back end stops and one that it cannot do are three things.
    @Test(arguments: [
        ("{host: read, at: 4MiB, size: 1, expect: refused}", "expected refused, not failed"),
        ("{guest: read, at: 4MiB, size: 1, expect: stopped}", "expected stopped, not failed"),
        ("{host: probe, at: 4MiB, expect: stopped}", "expected stopped, not failed"),
        ("{host: discard, at: 4MiB, size: 4KiB}", "expected reached, not failed"),
        ("{check: private, at: 5MiB, size: 4KiB}", "expected private, not shared"),
    ])
    func afterALossTheFirstSurpriseEndsThePlay(step: String, failure: String) throws {
        let text = """
            name: test
            steps:
              - {host: convert, target: private, at: 5MiB, size: 4KiB, expect: refused}
              - {check: shared, at: 5MiB, size: 4KiB}
              - \(step)
              - {check: shared, at: 5MiB, size: 4KiB}
            """
        let layout = try GuestMemoryLayout(
            regions: [PageRange(address: GuestPhysicalAddress(0), byteCount: 8 << 20)]
        )
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: layout, processors: 1),
            options: SimulationOptions(faults: [Fault(at: .commit, .lose)])
        )
        var runner = ScenarioRunner(backend: backend)
        let report = try runner.run(Scenario(YAMLReader.read(text, file: "s.yaml")))
        #expect(failures(report) == ["s.yaml:5:5: \(failure)"])
        #expect(report.steps.count == 3)
        #expect(!report.isAsExpected)
    }

    // MARK: Broken protocols

    /// A protocol broken in one place, and the file that has to notice.
    struct Breakage: Sendable, CustomTestStringConvertible {
        let file: String
        let what: String
        /// What the first step that is not as expected has to say.
        let failure: String
        let change: @Sendable (inout Rules) -> Void

        init(_ file: String, _ what: String, _ failure: String, _ change: @escaping @Sendable (inout Rules) -> Void) {
            self.file = file + ".yaml"
            self.what = what
            self.failure = failure
            self.change = change
        }

        var testDescription: String { "\(file): \(what)" }
    }

    static let breakages = [
        Breakage("v5-register-unreferenced", "registration only drops", "waits for a lock it holds itself") {
            $0.registration = .dropOnly
        },
        Breakage("v5-register-referenced", "registration freezes", "expected -EAGAIN; it answered 0: pending") {
            $0.registration = .freeze
        },
        Breakage("v5-register-mapped", "nothing is ever registered", "it answered 0: completed") {
            $0.registration = .never
        },
        Breakage("v5-clear-referenced", "the request registers", "it answered -EINPROGRESS") {
            $0.registration = .withRequest
        },
        Breakage("question-ambiguous-again-v5", "a mapping changes nothing", "it answered 0: cancelled") {
            $0.registration = .withRequest
        },
        Breakage("question-ambiguous-again-custody", "registers separately", "none, not registered") {
            $0.registration = .subtractAndLook
        },
        Breakage("question-register-races-conversion-custody", "registers separately", "it answered -EAGAIN") {
            $0.registration = .subtractAndLook
        },
        Breakage("question-last-put-by-registrar-custody", "registers separately", "none, not registered") {
            $0.registration = .subtractAndLook
        },
        Breakage("question-look-or-freeze-v5", "the count is frozen", "0 references") { $0.check = .freeze },
        Breakage("question-look-or-freeze-v7", "the count is looked at", "2 references") { $0.check = .look },
        Breakage("question-truncate-pending-v5", "a hole completes", "the kernel saw: nothing") {
            $0.truncation = .restoresAndCompletes
        },
        Breakage("question-truncate-pending-v5", "the put looks for a file", "the kernel saw: warning") {
            $0.checksMapping = true
        },
        Breakage("question-truncate-pending-v7", "a hole restores nothing", "none, not registered") {
            $0.truncation = .ignoresPending
        },
        Breakage("question-truncate-pending-custody", "a hole restores nothing", "the kernel has: none") {
            $0.truncation = .ignoresPending
        },
        Breakage("question-atomic-put-custody", "the put completes", "waits for invalidate_lock") {
            $0.finalPut = .completesInline
        },
        Breakage("question-atomic-put-v7", "the lock of the state sleeps", "the kernel saw: nothing") {
            $0.stateLock = .invalidate
        },
        Breakage("question-last-put-by-fault-v5", "the put hands over", "it answered SIGBUS") { $0.finalPut = .queues },
        Breakage("question-last-put-by-registrar-v5", "the put hands over", "it answered -EAGAIN: pending") {
            $0.finalPut = .queues
        },
        Breakage("question-lock-order-v5", "the guest locks the state first", "not invalidate_lock") {
            $0.guestLocksStateFirst = true
        },
        Breakage("question-lock-order-custody", "the guest locks the folio first", "not nothing") {
            $0.guestLocksStateFirst = false
        },
        Breakage("question-poison-lock-order-custody", "a failure takes the lock", "waits for invalidate_lock") {
            $0.poisonLock = .waits
        },
        Breakage("v13-c9-elevated-refcount", "stops at a mapping", "not 0x400000") {
            $0.registration = .subtractAndLook
        },
        Breakage("fault-late-completion", "nothing is ever registered", "expected pending, not blocked") {
            $0.registration = .never
        },
    ]

    /// What the selftest asks of the conversion as it was applied, its eighth posting does too.
    @Test(arguments: files.filter { $0.hasPrefix("v13-c") }) func theEighthPostingAnswersTheSame(file: String) throws {
        let report = try play(file) { $0.handover = .version8 }
        #expect(failures(report) == [])
    }

    @Test(arguments: breakages) func aBrokenProtocolIsNoticed(breakage: Breakage) throws {
        let whole = try play(breakage.file)
        #expect(whole.isAsExpected)
        let broken = try play(breakage.file) { breakage.change(&$0.handover.rules) }
        #expect(!broken.isAsExpected)
        let first = try #require(failures(broken).first)
        #expect(first.contains(breakage.failure), "\(failures(broken).joined(separator: "\n"))")
    }
}
