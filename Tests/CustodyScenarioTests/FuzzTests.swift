import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyScenario
import CustodyTestSupport
import SimulationBackend
import Testing

/// Text that nobody meant: read, or an error with its place. Never a trap, never without an end.
@Suite(.timeLimit(.minutes(60))) struct FuzzTests {
    private static let configuration = """
        # A configuration with everything in it.
        backend: simulation
        guest: {processors: 2, granularity: 4KiB, memory: [{at: 2MiB, size: 64MiB}, {at: 1GiB, size: 4MiB}]}
        policy:
          protect: [{at: 32MiB, size: 1MiB, never: [shared, host]}]
          shared-budget: {size: 32MiB, over: clamp}
          private-by-default: {windows: &windows [{at: 48MiB, size: 1MiB}]}
          alignment: {unit: 4KiB, minimum: 8KiB}
          rate: {count: 100, per: 1s, burst: 10, of: pages, by: [guest]}
          storm: {count: 100, per: 1s, for: 5s, shut-out: 1s, at-most: 1min}
          deadline: 5ms
          time-box: 10s
          retry: {first: 1ms, at-most: 100ms, attempts: 9}
          initiators: {shared: guest, private: [guest, host], host: []}
          lock-down: {after: launched}
          all-of: [{deny: "no"}, {all-of: [{}]}]
          first-of:
            - when: {by: guest, to: shared, within: {at: 0, size: 4KiB}}
              policy: {first-of: []}
          per-range:
            - {at: 4MiB, size: 4KiB, policy: {shared-budget: 0}}
        limits: {pending: 3, pending-in-total: 9, runs-per-request: 7, bytes-per-request: 1MiB, holes: {limit: 1GiB}}
        pool: {name: host, shared: 1GiB}
        backends: {simulation: {seed: 9, contents: preserved, faults: [{at: commit, nth: 3, fail: system}]}}
        scenario: none.yaml
        """

    private static let scenario = """
        name: "a story"
        policy: {rate: {count: 2, per: 10s}}
        limits: {holes: ignore}
        pool: {name: host, shared: 64KiB}
        backends:
          simulation: {faults: [{at: commit, nth: 2, lose: true}]}
        steps:
          - {guest: write, at: 4MiB, text: "from the guest"}
          - {guest: read, vcpu: 1, at: 4MiB, hex: "00ff"}
          - {guest: request, target: private, at: 4MiB, size: 16KiB, expect: retry, held-by: nic, rule: rate}
          - {host: convert, target: shared, at: 4MiB, size: 4KiB, deadline: 1ms, contents: zeroed, expect: pending}
          - {host: mark, name: launched}
          - {host: probe, at: 4MiB, expect: stopped}
          - {device: nic, does: pin, queue: rx, purpose: buffers, at: 4104KiB, size: 4KiB, hold: 5ms}
          - {check: private, at: 4MiB, size: 16KiB}
          - {kernel: hold, at: 4MiB, as: dma, steps: 0, accesses: 0}
          - {process: dma, expect: "0"}
          - {state: all, at: 5MiB, registered: false, references: 1}
          - {saw: [underflow]}
          - {wait: 1ms}
          - {settled: completed}
        """

    /// What gives YAML, or a reader, something to think about.
    private static let tokens = [
        "\n", "  ", "- ", ": ", ", ", "{", "}", "[", "]", "#", "&a ", "*a", "*windows", "<<: ", "!!int ", "!x ", "|\n",
        ">\n",
        "\"", "'", "\\", "\\0", "\t", "\r", "? ", "---\n", "...\n", "%YAML 1.1\n", "~", "null", "true", "0", "-1", "0x",
        "1e9",
        "99999999999999999999", "18446744073709551615", "16777216TiB", "4KiB", "5ms", "9223372036854775807s", "\u{0}",
        "\u{85}", "\u{2028}", "\u{feff}", "é", "𝕏", "policy: ", "first-of: ", "when: ", "rate: ", "at: ", "size: ",
        "size: 18446744073709547520, at: 18446744073709547520", "count: 9223372036854775807", "steps: ", "guest: ",
    ]

    private static func mutate(_ text: String, _ random: inout SplitMix64) -> [UInt8] {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0...bytes.count, using: &random)
            let end = min(bytes.count, place + Int.random(in: 0...12, using: &random))
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes.removeSubrange(place..<end)
            case 1: bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0...bytes.count, using: &random))
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            case 3: bytes.insert(contentsOf: (tokens.randomElement(using: &random) ?? "").utf8, at: place)
            case 4:
                bytes.replaceSubrange(place..<end, with: (tokens.randomElement(using: &random) ?? "").utf8)
            default:
                let token = Array((tokens.randomElement(using: &random) ?? "").utf8)
                let count = Int.random(in: 1...200, using: &random)
                bytes.insert(contentsOf: (0..<count).flatMap { _ in token }, at: place)
            }
        }
        return bytes
    }

    private func read(_ bytes: [UInt8], _ body: (ConfigurationNode) throws(ConfigurationError) -> Void) -> Bool {
        do throws(ConfigurationError) {
            try body(YAMLReader.read(String(decoding: bytes, as: UTF8.self), file: "/nonexistent/f.yaml"))
            return true
        } catch {
            #expect(error.location.file == "/nonexistent/f.yaml")
            #expect(error.location.line >= 1 && error.location.column >= 1, "\(error)")
            #expect(!error.message.isEmpty)
            return false
        }
    }

    private static let registry = BackendRegistry([SimulationProvider()])

    @Test func whatIsMutatedIsAccepted() throws {
        #expect(
            read(Array(Self.configuration.utf8)) { (node) throws(ConfigurationError) in
                _ = try Configuration(node, registry: Self.registry)
            }
        )
        #expect(
            read(Array(Self.scenario.utf8)) { (node) throws(ConfigurationError) in _ = try Scenario(node) }
        )
    }

    @Test func configurations() {
        var (random, note) = Seed.generator("configurations")
        var accepted = 0
        for _ in 0..<6000 {
            let isAccepted = read(Self.mutate(Self.configuration, &random)) { (node) throws(ConfigurationError) in
                _ = try Configuration(node, registry: Self.registry)
            }
            if isAccepted { accepted += 1 }
        }
        #expect((100..<5900).contains(accepted), "\(note): \(accepted) are accepted, not some")
    }

    @Test func scenarios() {
        var (random, note) = Seed.generator("scenarios")
        var accepted = 0
        for _ in 0..<6000 {
            let isAccepted = read(Self.mutate(Self.scenario, &random)) { (node) throws(ConfigurationError) in
                _ = try Scenario(node)
            }
            if isAccepted { accepted += 1 }
        }
        #expect((100..<5900).contains(accepted), "\(note): \(accepted) are accepted, not some")
    }

    /// No grammar at all.
    @Test func tokens() {
        var (random, _) = Seed.generator("tokens")
        for _ in 0..<6000 {
            let count = Int.random(in: 0...60, using: &random)
            let text = (0..<count).map { _ in Self.tokens.randomElement(using: &random) ?? "" }.joined()
            _ = read(Array(text.utf8)) { (node) throws(ConfigurationError) in
                _ = try Configuration(node, registry: Self.registry)
            }
            _ = read(Array(text.utf8)) { (node) throws(ConfigurationError) in _ = try Scenario(node) }
        }
    }

    /// Policies in policies, as deep as text may be nested.
    @Test func nestedPolicies() {
        for depth in [1, 10, 15, 31, 62] {
            let text =
                String(repeating: "{all-of: [", count: depth) + "{deny: x}" + String(repeating: "]}", count: depth)
            let isAccepted = read(Array(text.utf8)) { (node) throws(ConfigurationError) in
                _ = try PolicyFormat.format.read(node, Site(key: "policy"))
            }
            #expect(isAccepted == (depth <= 31), "\(depth)")
        }
    }
}
