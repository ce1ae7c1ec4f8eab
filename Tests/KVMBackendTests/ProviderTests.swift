import Custody
import CustodyOptions
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

    private func options(_ pairs: KeyValuePairs<String, String>) throws -> KVMOptions {
        try KVMOptions(section(pairs))
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
        let backend = try provider.makeBackend(for: guest, options: options(["mode": "revoked", "processors": "2"]))
        #expect(backend.capabilities.enforcement == .process)
        #expect(backend.guestAgent?.processorCount == 2)
        let plain = try provider.makeBackend(for: guest, options: options([:]))
        #expect(plain.capabilities.enforcement == .kernel)
    }

    @Test(.needsKVM) func namingWhatIsNotThereIsAnError() throws {
        let error = #expect(throws: BackendCreationError.self) {
            _ = try KVMBackendProvider().makeBackend(
                for: Guests.configuration(),
                options: options(["mode": "in-place"])
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
        let error = #expect(throws: ConfigurationError.self) { _ = try KVMBackendProvider().read(options) }
        #expect(error?.location.line == 3)
        #expect(error?.message.contains("did you mean") == true)
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
            _ = try provider.makeBackend(for: Guests.configuration(), options: options([:]))
        }
    }

    // MARK: Modes of kernels that this machine has not got

    private func probe(_ features: FakeFeatures, _ mode: KVMMode) throws -> BackendProbe {
        let probes = KVMBackendProvider(kernel: try FakeKernel(features)).probe()
        return try #require(probes.first { $0.mode == mode.rawValue })
    }

    @Test(arguments: [KVMMode.attributes, .inPlace]) func aModeIsThereWhereItsKernelIs(mode: KVMMode) throws {
        let probe = try probe(.for(mode), mode)
        #expect(probe.unavailable == nil)
        #expect(probe.remarks.contains { $0.contains("not exercised on hardware") })
    }

    /// The capability had other numbers before it was applied: what the kernel does decides.
    @Test func theNumberOfTheCapabilityIsProbed() throws {
        for announced: (number: UInt32, mask: Int)? in [(252, 8), (250, 8), (249, 8), nil, (251, 8)] {
            var features = FakeFeatures.inPlace
            features.fileAttributesCapability = announced
            #expect(try probe(features, .inPlace).unavailable == nil)
            let device = try KVMDevice(kernel: FakeKernel(features))
            // 251 has never been its number.
            let number = announced?.number == 251 ? nil : announced?.number
            #expect(try InPlaceInterface.look(at: device) == .present(capability: number))
        }
        // The number has gone to something else.
        var features = FakeFeatures.plain
        features.virtualMachineTypes = 0b11
        features.fileAttributesCapability = (249, 0xFF)
        let error = try #require(try probe(features, .inPlace).unavailable)
        #expect(error.code == .unavailable)
    }

    /// A kernel that could, and has it turned off; one that never could; one whose parameter says nothing.
    @Test(arguments: [
        ("N", "load it with gmem_in_place_conversion=1"),
        ("Y", "although the module kvm has gmem_in_place_conversion=Y"),
        (nil, "this kernel lacks it"),
    ]) func theModulesParameterIsNamed(parameter: String?, advice: String) throws {
        var features = FakeFeatures.plain
        features.virtualMachineTypes = 0b11
        features.inPlaceParameter = parameter
        let error = try #require(try probe(features, .inPlace).unavailable)
        #expect("\(error)".contains(advice))
    }

    @Test func autoTakesTheFirstModeThatIsThere() throws {
        func enforcement(_ features: FakeFeatures) throws -> Enforcement {
            let provider = KVMBackendProvider(kernel: try FakeKernel(features))
            return try provider.makeBackend(for: Guests.configuration(), options: options(["mode": "auto"]))
                .capabilities.enforcement
        }
        #expect(try enforcement(.plain) == .kernel)
        #expect(KVMMode.byPreference.first == .dual && KVMMode.byPreference.last == .revoked)
    }

    /// The kernel's own limit of slots: the answer is clear, nothing has changed, and what needs no slot still works.
    @Test func theNumberOfSlotsIsProbed() throws {
        var features = FakeFeatures.plain
        features.memorySlots = 24
        let fake = try FakeKernel(features)
        let backend = try Guests.backend(.dual, kernel: fake)
        var converted: [UInt64] = []
        var refusal: BackendError?
        for page in stride(from: UInt64(1), to: 64, by: 2) where refusal == nil {
            let slots = fake.slots
            do {
                try backend.change(Guests.range(page, 1), from: .shared, to: .private)
                converted.append(page)
            } catch let error as BackendError {
                refusal = error
                #expect(fake.slots == slots)
            }
        }
        #expect(refusal?.code == .resourcesExhausted)
        #expect(refusal?.message.contains("slot") == true)
        #expect(converted.count == 3)
        let last = try #require(converted.last)
        try backend.change(Guests.range(last + 1, 1), from: .shared, to: .private)
        try backend.change(Guests.range(1, 1), from: .private, to: .shared)
        try backend.change(Guests.range(40, 1), from: .shared, to: .private)
    }

    /// Every error that the back end can meet says which call it was, with what, and what it usually means.
    @Test func everyErrorSaysWhatItMeans() {
        for call in PossibleErrors.calls {
            for errno in PossibleErrors.of(call) {
                let error = KVMError(call, errno)
                #expect(error.call == call.name)
                #expect(!error.arguments.isEmpty)
                #expect(error.meaning != "the kernel refused", "\(call.name) \(errno)")
            }
        }
    }

    @Test func anErrorShowsTheFieldsOfItsStructure() throws {
        let bare = try BareMachine(kernel: FakeKernel(.plain))
        let error = #expect(throws: KVMError.self) { try bare.machine.removeSlot(7) }
        #expect(error?.arguments.contains("slot 0x7") == true)
        #expect(error?.arguments.contains("memory_size 0x0") == true)
    }
}
