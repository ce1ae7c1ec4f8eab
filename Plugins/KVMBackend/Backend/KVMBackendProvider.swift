public import Custody

/// The back end ‘kvm’, for a registry.
///
/// Its section of a configuration has two keys, both optional: `mode` (`dual`, the default, or `revoked`) and
/// `processors`, which takes precedence over the guest's.
public struct KVMBackendProvider: BackendProvider {
    private let kernel: any Kernel

    /// The back end of this machine's kernel.
    public init() { self.init(kernel: LinuxKernel()) }

    /// The back end of a given kernel.
    package init(kernel: any Kernel) { self.kernel = kernel }

    /// `kvm`.
    public var name: String { "kvm" }

    /// What it is.
    public var summary: String { "real guests on this machine, through KVM and guest_memfd" }

    /// Looks at `/dev/kvm`, once for each mode.
    public func probe() -> [BackendProbe] {
        let features: KVMFeatures
        do throws(BackendError) { features = try lookAtFeatures() } catch {
            return KVMMode.allCases.map { mode in
                BackendProbe(
                    backend: name,
                    mode: mode.rawValue,
                    unavailable: error,
                    capabilities: Capabilities(mode, nil),
                    remarks: remarks(mode)
                )
            }
        }
        return KVMMode.allCases.map { mode in
            BackendProbe(
                backend: name,
                mode: mode.rawValue,
                unavailable: features.obstacle(to: mode).map { BackendError(.unavailable, $0) },
                capabilities: Capabilities(mode, features),
                remarks: remarks(mode)
            )
        }
    }

    /// Reads the options.
    public func check(_ options: ConfigurationSection) throws(ConfigurationError) { _ = try KVMOptions(options) }

    /// Makes the virtual machine.
    public func makeBackend(
        for guest: GuestConfiguration,
        options: ConfigurationSection
    ) throws(BackendCreationError) -> any MemoryBackend {
        let settings: KVMOptions
        do throws(ConfigurationError) { settings = try KVMOptions(options) } catch { throw .configuration(error) }
        var guest = guest
        guest.processors = settings.processors ?? guest.processors
        do throws(BackendError) {
            return try KVMBackend(guest, mode: settings.mode, kernel: kernel, slotLimit: nil)
        } catch { throw .backend(error) }
    }

    private func lookAtFeatures() throws(BackendError) -> KVMFeatures {
        try KVMBackend.checkProcessor()
        do throws(KVMError) { return try KVMFeatures(of: KVMDevice(kernel: kernel)) } catch {
            throw KVMBackend.unavailable(error)
        }
    }

    private func remarks(_ mode: KVMMode) -> [String] {
        switch mode {
        case .dual:
            [
                "a page that goes between the host alone and shared keeps its contents",
                "each run of pages in one state takes a memory slot",
            ]
        case .revoked: ["another process that has the memory file is not stopped"]
        case .attributes, .inPlace: ["never run: no kernel that was at hand has it"]
        }
    }
}
