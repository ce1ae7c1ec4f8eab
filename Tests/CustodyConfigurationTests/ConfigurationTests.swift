import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import SimulationBackend
import Testing

@Suite struct ConfigurationTests {
    private let registry = BackendRegistry([SimulationProvider()])

    private func read(_ text: String) throws(ConfigurationError) -> Configuration {
        try Configuration(YAMLReader.read(text, file: "vm.yaml"), registry: registry)
    }

    private func error(_ text: String) -> String {
        do throws(ConfigurationError) { _ = try read(text) } catch { return "\(error)" }
        return "accepted"
    }

    private static let head = "backend: simulation\n"
    private static let guest = "guest:\n  memory:\n    - {at: 0, size: 1MiB}\n"

    @Test func everythingThatThereIs() throws {
        let configuration = try read(
            """
            backend: simulation
            guest:
              processors: 4
              granularity: 2MiB
              memory:
                - {at: 2MiB, size: 2MiB}
                - {at: 1GiB, size: 4MiB}
            policy:
              protect:
                - {at: 2MiB, size: 4KiB, never: private}
              shared-budget: 1MiB
            limits: {pending: 3, runs-per-request: 7, guest-deadline: 5ms}
            backends:
              simulation: {seed: 9, contents: preserved, latency: 1us}
            """
        )
        #expect(configuration.backend.name == "simulation")
        #expect(configuration.guest.processors == 4)
        #expect(configuration.guest.layout.granularity == .large)
        #expect(configuration.guest.layout.pageCount == 1536)
        #expect(
            configuration.limits
                == ControllerLimits(pendingHandovers: 3, runsPerGuestRequest: 7, guestDeadline: .milliseconds(5))
        )
        let backend = try configuration.makeBackend()
        #expect(backend.capabilities.contents.toPrivate == .preserved)
        #expect(backend.layout == configuration.guest.layout)
    }

    @Test(arguments: [("4096TiB", true), ("8192TiB", false)])
    func aGuestIsAtMostAsLargeAsTheBackEndSays(size: String, isMade: Bool) throws {
        let configuration = try read(Self.head + "guest: {memory: [{at: 0, size: \(size)}]}\n")
        let backend = try? configuration.makeBackend()
        #expect((backend != nil) == isMade)
    }

    @Test func whatIsLeftOutHasItsDefault() throws {
        let configuration = try read(Self.head + Self.guest)
        #expect(configuration.limits == ControllerLimits())
        #expect(configuration.guest.processors == 1)
        #expect(configuration.scenario == nil)
        #expect(try configuration.makeBackend() is SimulationBackend)
    }

    /// Each kind of mistake, with the place of the word that is wrong.
    @Test(arguments: [
        ("", "vm.yaml:1:1: error: the key ‘backend’ is missing here"),
        ("- a", "vm.yaml:1:1: error: expected keys with values, not a list"),
        ("backend: simulation\n", "vm.yaml:1:1: error: the key ‘guest’ is missing here"),
        ("backend: [a]\n" + guest, "vm.yaml:1:10: error: ‘backend’ must be text, not a list"),
        (
            "backend: simulaton\n" + guest,
            "vm.yaml:1:10: error: unknown back end ‘simulaton’; did you mean ‘simulation’? (accepted: simulation)"
        ),
        (head + "guest: {}\n", "vm.yaml:2:8: error: the key ‘memory’ is missing here"),
        (head + "guest: {memory: []}\n", "vm.yaml:2:8: error: a guest needs at least one region of memory"),
        (head + "guest: {memory: [{at: 0}]}\n", "vm.yaml:2:18: error: the key ‘size’ is missing here"),
        (
            head + "guest: {memory: [{at: 1, size: 4096}]}\n",
            "vm.yaml:2:18: error: the range is not a multiple of 4 KiB"
        ),
        (head + "guest: {memory: [{at: 0, size: 0}]}\n", "vm.yaml:2:18: error: the range is empty"),
        (
            head + "guest: {memory: [{at: 0xfffffffffffff000, size: 8KiB}]}\n",
            "vm.yaml:2:18: error: the range runs past the end of the address space"
        ),
        (
            head + "guest: {memory: [{at: 0, size: 8KiB}, {at: 4KiB, size: 4KiB}]}\n",
            "vm.yaml:2:39: error: the regions 0x0-0x1fff (8 KiB) and 0x1000-0x1fff (4 KiB) overlap"
        ),
        // Of two that overlap it is the second in the file, wherever it is in memory.
        (
            head + "guest: {memory: [{at: 1MiB, size: 8KiB}, {at: 4KiB, size: 4KiB}, {at: 0, size: 8KiB}]}\n",
            "vm.yaml:2:66: error: the regions 0x0-0x1fff (8 KiB) and 0x1000-0x1fff (4 KiB) overlap"
        ),
        (
            head + "guest: {granularity: 2MiB, memory: [{at: 0, size: 4KiB}]}\n",
            "vm.yaml:2:37: error: the region 0x0-0xfff (4 KiB) is not a multiple of 2 MiB"
        ),
        (
            head + "guest: {granularity: 8KiB, memory: []}\n",
            "vm.yaml:2:22: error: unknown value of ‘granularity’ ‘8KiB’; did you mean ‘4KiB’? (accepted: 4KiB, 2MiB, 1GiB)"
        ),
        (
            head + "guest: {processors: 0, memory: []}\n",
            "vm.yaml:2:21: error: ‘processors’ must be a whole number from 1 to 1024, not ‘0’"
        ),
        (
            head + "guest: {procesors: 1, memory: [{at: 0, size: 4KiB}]}\n",
            "vm.yaml:2:9: error: unknown key ‘procesors’; did you mean ‘processors’? (accepted: granularity, memory, processors)"
        ),
        (
            head + guest + "limits: {pending: -1}\n",
            "vm.yaml:5:19: error: ‘pending’ must be a whole number from 0 to 65536, not ‘-1’"
        ),
        (
            head + guest + "limits: {guest-deadline: 5}\n",
            "vm.yaml:5:26: error: ‘guest-deadline’ must be a time such as 500ns, 10us, 20ms or 1s, not ‘5’"
        ),
        (head + guest + "policy: {protect: x}\n", "vm.yaml:5:19: error: ‘protect’ must be a list, not ‘x’"),
        (
            head + guest + "policy:\n  protect:\n    - {at: 0, size: 4KiB}\n",
            "vm.yaml:7:7: error: the key ‘never’ is missing here"
        ),
        (
            head + guest + "backends:\n  simulation: {sed: 1}\n",
            "vm.yaml:6:16: error: unknown key ‘sed’; did you mean ‘seed’? (accepted: contents, faults, folio, initial, interleave, latency, memory, modules, protocol, seed)"
        ),
        (
            head + guest + "backends:\n  simulatio: {seed: 1}\n",
            "vm.yaml:6:3: error: unknown key ‘simulatio’; did you mean ‘simulation’? (accepted: simulation)"
        ),
        (
            head + guest + "polcy: {}\n",
            "vm.yaml:5:1: error: unknown key ‘polcy’; did you mean ‘policy’? (accepted: backend, backends, guest, limits, policy, pool, scenario)"
        ),
    ])
    func errorsSayWhatAndWhere(text: String, message: String) {
        #expect(error(text) == message)
    }

    @Test func aPolicyOfTheFileIsTheOneThatDecides() throws {
        let configuration = try read(
            Self.head + Self.guest
                + "policy:\n  shared-budget: 0\n  protect:\n    - {at: 0, size: 4KiB, never: private}\n"
        )
        let controller = MemoryController(
            backend: try configuration.makeBackend(),
            policy: configuration.policy
        )
        let reply = controller.handle(GuestRequest(processor: 0, address: 0, byteCount: 4096, target: .private))
        #expect(reply == .refused)
        #expect(
            controller.handle(GuestRequest(processor: 0, address: 4096, byteCount: 4096, target: .private)) == .done
        )
        let back = controller.handle(GuestRequest(processor: 0, address: 4096, byteCount: 4096, target: .shared))
        #expect(back == .retry(from: GuestPhysicalAddress(4096)))
    }

    /// A file of nothing but keys takes no longer than its size allows.
    @Test(.timeLimit(.minutes(60))) func manyKeysAreReadInReasonableTime() {
        let keys = (0..<40_000).map { "key\($0): 1\n" }.joined()
        #expect(error(Self.head + Self.guest + keys).contains("unknown key ‘key0’"))
    }
}
