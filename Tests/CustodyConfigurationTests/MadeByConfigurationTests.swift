import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// What a configuration makes in one call: a back end that can have the guest, and a controller with all of its rules.
@Suite struct MadeByConfigurationTests {
    private static let registry = BackendRegistry([SimulationProvider(), SmallProvider()])

    private func configuration(_ text: String) throws -> Configuration {
        try Configuration(YAMLReader.read(text, file: "c.yaml"), registry: Self.registry)
    }

    /// The pool that a file names bounds the guests of all configurations that name it, with nothing wired by hand.
    @Test func aPoolIsInEffect() throws {
        let text = """
            backend: simulation
            guest: {memory: [{at: 0, size: 64KiB}]}
            pool: {name: made-by-configuration, shared: 8KiB}
            backends: {simulation: {initial: private}}
            """
        let one = try configuration(text)
        let other = try configuration(text)
        let first = try one.makeController(on: one.makeBackend())
        let second = try other.makeController(on: other.makeBackend())
        let request = GuestRequest(processor: 0, address: 0, byteCount: 8192, target: .shared)
        #expect(first.handle(request) == .done)
        #expect(second.handle(request) == .retry(from: GuestPhysicalAddress(0)))
        // Pools of their own are no business of each other's.
        let third = try other.makeController(on: other.makeBackend(), pools: SharedPools())
        #expect(third.handle(request) == .done)
        _ = first
    }

    @Test func aPoolOfTwoSizesIsAnError() throws {
        func text(_ size: String) -> String {
            """
            backend: simulation
            guest: {memory: [{at: 0, size: 64KiB}]}
            pool: {name: of-two-sizes, shared: \(size)}
            """
        }
        let pools = SharedPools()
        let one = try configuration(text("8KiB"))
        let other = try configuration(text("12KiB"))
        _ = try one.makeController(on: one.makeBackend(), pools: pools)
        let error = #expect(throws: ConfigurationError.self) {
            _ = try other.makeController(on: other.makeBackend(), pools: pools)
        }
        #expect(error?.location.line == 3)
    }

    /// What a back end says that it can do holds for whoever makes one from a file, whether or not it looks itself.
    @Test(arguments: [
        (
            "{processors: 3, memory: [{at: 0, size: 64KiB}]}",
            "2:21: error: a guest of the back end ‘small’ has at most 2 processors"
        ),
        (
            "{memory: [{at: 0, size: 64KiB}, {at: 1MiB, size: 64KiB}]}",
            "2:17: error: a guest of the back end ‘small’ has at most 64 KiB of memory"
        ),
    ])
    func aGuestThatIsTooLargeIsRefusedWithItsPlace(guest: String, message: String) throws {
        let configuration = try configuration("backend: small\nguest: \(guest)\n")
        do throws(BackendCreationError) {
            _ = try configuration.makeBackend()
            Issue.record("\(guest) is accepted")
        } catch {
            #expect("\(error)" == "c.yaml:\(message)")
        }
    }

    @Test func aGuestThatFitsIsMade() throws {
        let text = "backend: small\nguest: {processors: 2, memory: [{at: 0, size: 64KiB}]}\n"
        #expect(try configuration(text).makeBackend().layout.pageCount == 16)
    }
}

/// A provider that looks at nothing.
private struct SmallProvider: BackendProvider {
    let name = "small"
    let summary = "a back end for small guests"
    var options: Format<SimulationOptions> { SimulationProvider().options }
    func probe() -> [BackendProbe] { [] }

    func makeBackend(
        for guest: GuestConfiguration,
        options: SimulationOptions
    ) throws(BackendCreationError) -> any MemoryBackend {
        let inner = SimulationBackend(guest: guest)
        var capabilities = inner.capabilities
        (capabilities.maximumProcessors, capabilities.maximumGuestBytes) = (2, 65536)
        return ForwardingBackend(inner, capabilities: capabilities)
    }
}
