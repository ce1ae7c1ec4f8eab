#if Libvirt
import Custody

extension Capabilities {
    /// What a domain with modules of memory can do.
    ///
    /// Between shared and private the unit is the layout's, because that is this process's own mapping of the file; to the
    /// host and from it, it is the module.
    /// How many virtual processors there can be is libvirt's to say (``DomainSupport``).
    static func libvirt(
        granularity: PageSize,
        processors: Int,
        unseen: Set<UnseenProcesses>
    ) -> Capabilities {
        Capabilities(
            granularity: granularity,
            enforcement: .process,
            contents: ContentsEffects(toPrivate: .preserved, toShared: .preserved, toHost: .zeroed),
            pendingHandovers: .ledgerAndBackend,
            transitAccess: .asBefore,
            reclaim: .askingGuest,
            hostUnit: .region,
            takesRequestsBack: false,
            maximumProcessors: processors,
            populate: true,
            hotplug: true,
            maximumGuestBytes: LibvirtBackend.regionsEnd - DomainConfiguration.regionsBase,
            unseenHolders: unseen.isEmpty ? nil : unseen.map(\.rawValue).sorted()
        )
    }
}

#endif
