import Custody
import SystemPackage
import Testing

@testable import KVMBackend

@Suite struct ProviderTests {
    private func section(_ pairs: KeyValuePairs<String, String>) throws -> ConfigurationSection {
        let place = SourceLocation(file: "guest.yaml", line: 3, column: 1)
        let entries = pairs.map { key, value in
            (
                key: ConfigurationNode(.scalar(key), at: place),
                value: ConfigurationNode(.scalar(value), at: place)
            )
        }
        return try ConfigurationSection(ConfigurationNode(.mapping(entries), at: place))
    }

    @Test(.needsKVM) func probingNamesEveryMode() {
        let probes = KVMBackendProvider().probe()
        #expect(probes.map(\.mode) == ["dual", "revoked", "attributes", "in-place"])
        #expect(probes[1].unavailable == nil)
        #expect(probes[1].capabilities.enforcement == .process)
        #expect(probes[0].capabilities.enforcement == .kernel)
        for probe in probes[..<2] { #expect(!probe.remarks.contains { $0.contains("not exercised on hardware") }) }
        for probe in probes[2...] {
            #expect(probe.unavailable?.code == .unavailable)
            // No CI machine has these; each says what is missing, and that nobody has run it.
            #expect(probe.unavailable?.message.contains("KVM_CAP_") == true)
            #expect(probe.remarks.contains { $0.contains("not exercised on hardware") })
            #expect(probe.capabilities.enforcement == .kernel)
        }
    }

    @Test(.needsKVM) func namingAModeMakesIt() throws {
        let provider = KVMBackendProvider()
        let guest = try Guests.configuration()
        let backend = try provider.makeBackend(for: guest, options: section(["mode": "revoked", "processors": "2"]))
        #expect(backend.capabilities.enforcement == .process)
        #expect(backend.guestAgent?.processorCount == 2)
        let plain = try provider.makeBackend(for: guest, options: section([:]))
        #expect(plain.capabilities.enforcement == .kernel)
    }

    @Test(.needsKVM) func namingWhatIsNotThereIsAnError() throws {
        let error = #expect(throws: BackendCreationError.self) {
            _ = try KVMBackendProvider().makeBackend(
                for: Guests.configuration(),
                options: section(["mode": "in-place"])
            )
        }
        guard case .backend(let cause)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(cause.code == .unavailable)
    }

    @Test(arguments: ["mod", "processor"]) func unknownKeysAreErrors(key: String) throws {
        let options = try section(["\(key)": "1"])
        let error = #expect(throws: BackendCreationError.self) {
            _ = try KVMBackendProvider().makeBackend(for: Guests.configuration(), options: options)
        }
        guard case .configuration(let cause)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(cause.location.line == 3)
        #expect(cause.message.contains("did you mean"))
    }

    @Test(arguments: [Errno.noSuchFileOrDirectory, .permissionDenied, .resourceBusy])
    func aMachineWithoutKVMSaysWhy(errno: Errno) throws {
        let kernel = FailingKernel { call in if case .open = call { true } else { false } }
        kernel.fail(1, with: errno, always: true)
        let provider = KVMBackendProvider(kernel: kernel)
        for probe in provider.probe() {
            let error = try #require(probe.unavailable)
            #expect(error.code == .unavailable)
            #expect((error.cause as? KVMError)?.errno == errno)
            #expect("\(error)".contains("/dev/kvm"))
            #expect("\(error)".contains("errno \(errno.rawValue)"))
            #expect(!"\(error)".contains("the kernel refused"))
            #expect(!"\(error)".contains("\n"))
        }
        #expect(throws: BackendCreationError.self) {
            _ = try provider.makeBackend(for: Guests.configuration(), options: section([:]))
        }
    }
}
