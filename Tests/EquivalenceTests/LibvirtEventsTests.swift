#if Libvirt
    import Custody
    import CustodyPolicy
    import CustodyScenario
    import Foundation
    import LibvirtBackend
    import SimulationBackend
    import Testing

    /// A domain's modules and simulated ones: one scenario is one sequence of ownership events.
    @Suite(.timeLimit(.minutes(60))) struct LibvirtEventsTests {
        private static let folder = URL(filePath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

        private static func guest() throws -> GuestConfiguration {
            let region = try PageRange(address: GuestPhysicalAddress(4 << 30), byteCount: 16 << 20)
            return GuestConfiguration(layout: try GuestMemoryLayout(regions: [region]))
        }

        private static func play(_ backend: any MemoryBackend) throws -> ScenarioReport {
            defer { backend.shutDown() }
            let file = LibvirtEventsTests.folder.appending(
                components: "Examples",
                "Scenarios",
                "modules",
                "hand-over.yaml"
            )
            var runner = ScenarioRunner(backend: backend)
            return runner.run(try Scenario(contentsOf: file.path(percentEncoded: false)))
        }

        /// The events without the numbers of processes, and without who of them has a module's other half: the simulation has no
        /// QEMU.
        private static func lines(_ report: ScenarioReport) -> [String] {
            report.events.map { event in
                let line = "\(event.kind)"
                    .replacing(/\ \(pid [0-9]+\)/, with: "")
                    .replacing(/guest: memory module( ua-custody-0)?/, with: "guest")
                guard case .advanced = event.kind, let end = line.range(of: ", held by") else { return line }
                return String(line[..<end.lowerBound])
            }
        }

        /// The same sequence, not one with more steps: in a process of its own, where nobody forks off others, which have the
        /// module's file for a moment, too. A root of libvirt's driver has one process.
        @Test func aModuleGivesTheSameEventsOnTheSimulationAndInADomain() async {
            await #expect(processExitsWith: .success) {
                let shared = ProcessInfo.processInfo.environment["CUSTODY_LIBVIRT_ROOT"]
                let root = (shared ?? "/tmp/custody-lv-\(getpid())") + "-alone"
                var options = LibvirtOptions()
                options.root = root
                options.memory = root + "/memory"
                options.domain = "same-\(getpid())"
                options.acceptedUnseenProcesses = Set(UnseenProcesses.allCases)
                options.acceptsDisk = true
                let backend = try LibvirtBackend(LibvirtEventsTests.guest(), options: options)
                let simulation = SimulationBackend(
                    guest: try LibvirtEventsTests.guest(),
                    options: SimulationOptions(initial: .host, contents: .preserved, modules: true)
                )
                // What is compared is the same by what the two say of themselves, but for processors and size, and for
                // processes that cannot be looked into: a simulation has none.
                var capabilities = backend.capabilities
                capabilities.maximumProcessors = simulation.capabilities.maximumProcessors
                capabilities.maximumGuestBytes = simulation.capabilities.maximumGuestBytes
                capabilities.populate = simulation.capabilities.populate
                capabilities.unseenHolders = simulation.capabilities.unseenHolders
                #expect(capabilities == simulation.capabilities)
                let real = try LibvirtEventsTests.play(backend)
                let simulated = try LibvirtEventsTests.play(simulation)
                for step in real.steps where step.failure != nil {
                    Issue.record("\(step.step.location): \(step.failure ?? "")")
                }
                #expect(real.isAsExpected)
                #expect(simulated.isAsExpected)
                #expect(real.events.count > 60)
                let (lines, others) = (LibvirtEventsTests.lines(real), LibvirtEventsTests.lines(simulated))
                for (line, other) in zip(lines, others) { #expect(line == other) }
                #expect(lines.count == others.count)
                #expect(real.ownership == simulated.ownership)
            }
        }
    }
#endif
