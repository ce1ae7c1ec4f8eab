public import Custody
public import CustodyOptions

/// The back end ‘kvm’, for a registry.
///
/// Its section of a configuration has these keys, all optional: `mode` (`dual`, the default, `revoked`, `attributes`,
/// `in-place`, or `auto` for the first of dual, attributes, in-place, revoked that the machine has), `processors`, which
/// takes precedence over the guest's, `dirty-log` (`none`, `bitmap` or `ring`; without it what the mode can do), with a
/// ring `dirty-ring-entries`, the number of entries for each processor, `shared-memory` (`memfd`, or in the mode attributes
/// also `anonymous`), and `kick-signal`, the real-time signal that takes processors out of the guest. Ownership changes in units of the guest's own `granularity`.
public struct KVMBackendProvider: BackendProvider {
    private let kernel: any Kernel
    private let adopted: AdoptedMachine?

    /// The back end of this machine's kernel.
    public init() { self.init(kernel: LinuxKernel()) }

    /// The back end for memory in a virtual machine that a monitor has made. A configuration chooses the mode then; the keys
    /// `processors`, `dirty-log`, `dirty-ring-entries` and `kick-signal` are refused: the machine is the monitor's.
    public init(adopting machine: AdoptedMachine) { self.init(kernel: LinuxKernel(), adopting: machine) }

    /// The back end of a given kernel.
    package init(kernel: any Kernel, adopting machine: AdoptedMachine? = nil) {
        self.kernel = kernel
        adopted = machine
    }

    /// `kvm`.
    public var name: String { "kvm" }

    /// What it is.
    public var summary: String { "real guests on this machine, through KVM and guest_memfd" }

    /// Looks at `/dev/kvm`, or at the adopted machine, once for each mode.
    public func probe() -> [BackendProbe] {
        do throws(BackendError) {
            return try look { features, obstacle in
                KVMMode.allCases.map { mode in
                    let unavailable: BackendError?
                    do throws(KVMError) {
                        unavailable = try obstacle(mode).map { BackendError(.unavailable, $0) }
                    } catch { unavailable = KVMBackend.unavailable(error) }
                    return probe(mode, features, unavailable: unavailable)
                }
            }
        } catch { return KVMMode.allCases.map { probe($0, nil, unavailable: error) } }
    }

    /// What its section of a configuration may be.
    public var options: Format<KVMOptions> { KVMOptions.format }

    /// Makes the virtual machine.
    public func makeBackend(
        for guest: GuestConfiguration,
        options: KVMOptions
    ) throws(BackendCreationError) -> any MemoryBackend {
        var guest = guest
        guest.processors = options.processors ?? guest.processors
        do throws(BackendError) {
            if let adopted { return try makeBackend(in: adopted, guest.layout, options) }
            let mode = if let named = options.mode { named } else { try firstMode() }
            return try KVMBackend(
                guest,
                mode: mode,
                dirtyLog: options.dirtyLog,
                sharedMemory: options.sharedMemory,
                kickSignal: options.kickSignal.map { Int32(clamping: $0) },
                kernel: kernel,
                slotLimit: nil
            )
        } catch { throw .backend(error) }
    }

    private func makeBackend(
        in machine: AdoptedMachine,
        _ layout: GuestMemoryLayout,
        _ options: KVMOptions
    ) throws(BackendError) -> KVMBackend {
        let key =
            if options.processors != nil { "processors" } else if options.dirtyLog.map({ $0 != .none }) == true {
                "dirty-log"
            } else if options.kickSignal != nil { "kick-signal" } else { String?.none }
        if let key {
            throw BackendError(
                .unsupported,
                "the virtual machine is its monitor's: the key ‘\(key)’ says nothing of it"
            )
        }
        let mode = if let named = options.mode { named } else { try firstMode() }
        return try KVMBackend(
            adopting: machine,
            layout: layout,
            mode: mode,
            sharedMemory: options.sharedMemory,
            kernel: kernel
        )
    }

    /// The first mode that there is, in the order of ``KVMMode/byPreference``.
    private func firstMode() throws(BackendError) -> KVMMode {
        try look { features, obstacle throws(BackendError) in
            var obstacles: [String] = []
            for mode in KVMMode.byPreference {
                do throws(KVMError) {
                    guard let text = try obstacle(mode) else { return mode }
                    obstacles.append("‘\(mode.rawValue)’: \(text)")
                } catch { obstacles.append("‘\(mode.rawValue)’: \(error)") }
            }
            let place = adopted == nil ? "this machine" : "the virtual machine"
            throw BackendError(.unavailable, "\(place) has none of the modes. \(obstacles.joined(separator: "; "))")
        }
    }

    /// Gives `body` what KVM has, and why a mode cannot be used: on this machine, or in the one that is adopted.
    private func look<Result>(
        _ body: (KVMFeatures, (KVMMode) throws(KVMError) -> String?) throws(BackendError) -> Result
    ) throws(BackendError) -> Result {
        guard let adopted else {
            try KVMBackend.checkProcessor()
            let device: KVMDevice
            do throws(KVMError) { device = try KVMDevice(kernel: kernel) } catch { throw KVMBackend.unavailable(error) }
            let features: KVMFeatures
            do throws(KVMError) { features = try KVMFeatures(of: device) } catch { throw KVMBackend.unavailable(error) }
            return try body(features) { mode throws(KVMError) in try features.obstacle(to: mode, on: device) }
        }
        let machine = try VirtualMachine.adopted(adopted.descriptor, kernel: kernel)
        let features: KVMFeatures
        do throws(KVMError) { features = try KVMFeatures(of: machine) } catch { throw KVMBackend.unavailable(error) }
        return try body(features) { mode throws(KVMError) in try features.obstacle(to: mode, in: machine) }
    }

    private func probe(_ mode: KVMMode, _ features: KVMFeatures?, unavailable: BackendError?) -> BackendProbe {
        BackendProbe(
            backend: name,
            mode: mode.rawValue,
            unavailable: unavailable,
            capabilities: Capabilities(mode, features),
            remarks: remarks(mode) + remarksOnDirtyLog(mode, features)
        )
    }

    private func remarks(_ mode: KVMMode) -> [String] {
        switch mode {
        case .dual:
            [
                "a page that goes between the host alone and shared keeps its contents",
                "each run of pages in one state takes a memory slot",
            ]
        case .revoked: ["another process that has the memory file is not stopped"]
        case .attributes:
            [
                KVMBackendProvider.notExercised,
                "conversions are KVM_SET_MEMORY_ATTRIBUTES on the virtual machine; a page of the other memory is dropped "
                    + "and looked for",
            ]
        case .inPlace:
            [
                KVMBackendProvider.notExercised,
                "conversions are KVM_SET_MEMORY_ATTRIBUTES2 on the guest_memfd (in-place conversion, as linux-next has it "
                    + "since September 2026)",
            ]
        }
    }

    private func remarksOnDirtyLog(_ mode: KVMMode, _ features: KVMFeatures?) -> [String] {
        guard mode.slotsCanLog else { return ["no dirty log: KVM has none for a slot with a guest_memfd"] }
        let entries = min((features?[.dirtyLogRing] ?? 0) / DirtyRing.bytes(1), DirtyLogChoice.ringEntries.upperBound)
        guard entries >= DirtyLogChoice.ringEntries.lowerBound else { return ["a dirty log as a bitmap, not as rings"] }
        return ["a dirty log as a bitmap, or as rings of up to \(entries) entries"]
    }

    private static let notExercised =
        "not exercised on hardware: no kernel that was at hand has it; it is tested against a model of the documented checks"
}
