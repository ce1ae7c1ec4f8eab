#if Libvirt
import CLibvirt
public import Custody

/// The place of domains that libvirt manages. It can be looked at; guests cannot be made with it yet.
///
/// Compiled in with the package trait `Libvirt`, which needs the headers of libvirt.
public struct LibvirtProvider: BackendProvider {
    /// The name that a configuration uses.
    public let name = "libvirt"
    /// What it is.
    public let summary = "a domain that libvirt manages: ownership of whole regions"

    /// The provider.
    public init() {}

    /// Reports the version of libvirt, and that this back end makes no guests yet.
    public func probe() -> [BackendProbe] {
        [
            BackendProbe(
                backend: name,
                unavailable: LibvirtProvider.notThereYet,
                capabilities: LibvirtProvider.capabilities,
                remarks: [LibvirtProvider.libraryVersion]
            )
        ]
    }

    /// Accepts no key.
    public func check(_ options: ConfigurationSection) throws(ConfigurationError) { try options.finish() }

    /// Always fails: this back end makes no guests yet.
    public func makeBackend(
        for guest: GuestConfiguration,
        options: ConfigurationSection
    ) throws(BackendCreationError) -> any MemoryBackend {
        do { try options.finish() } catch { throw .configuration(error) }
        throw .backend(LibvirtProvider.notThereYet)
    }

    private static let notThereYet = BackendError(
        .unsupported,
        "changes of ownership are not implemented for libvirt domains; use kvm or simulation"
    )

    /// Hot-plugged DIMMs are the unit in which a domain's memory can come and go: 1 MiB at the least, so the next
    /// page size above it is what this back end is going to promise.
    private static let capabilities = Capabilities(
        granularity: .large,
        enforcement: .none,
        contents: .init(toPrivate: .unspecified, toShared: .unspecified, toHost: .unspecified),
        pendingHandovers: .ledger,
        transitAccess: .asBefore,
        maximumProcessors: 0,
        maximumGuestBytes: 0
    )

    private static var libraryVersion: String {
        var version: UInt = 0
        guard unsafe virGetVersion(&version, nil, nil) == 0 else { return "libvirt does not tell its version" }
        return "libvirt \(version / 1_000_000).\(version / 1000 % 1000).\(version % 1000)"
    }
}
#endif
