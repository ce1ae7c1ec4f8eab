#if Libvirt

/// Something that happened to a domain, or to the connection to it.
public struct DomainEvent: Sendable, Hashable {
    /// What happened.
    public enum Kind: Sendable, Hashable {
        /// The domain runs.
        case started
        /// The domain does not run any more.
        case stopped(Stop)
        /// The virtual processors rest, or run again.
        case suspended
        case resumed
        /// The guest restarted itself, or was restarted: it runs on, and has forgotten what it was asked.
        case rebooted
        /// The guest crashed. What follows is the domain's affair (`on_crash`): it may end, stay as it is, or start again.
        case crashed(Crash)
        /// Another change of its life: libvirt's numbers of the event and its detail.
        case lifecycle(Int32, Int32)
        /// The guest has a device more; libvirt's alias of it.
        case deviceAdded(String)
        /// The guest has let a device go. QEMU may still have its memory mapped for a moment.
        case deviceRemoved(String)
        /// The guest has refused to let a device go.
        case deviceRemovalFailed(String)
        /// The guest took or gave memory of a virtio-mem device: alias, and its size now in KiB.
        case memoryDeviceSized(String, kibibytes: UInt64)
        /// The guest's balloon left it so much memory, in KiB.
        case ballooned(kibibytes: UInt64)
        /// The connection is gone; `virConnectCloseReason`.
        case disconnected(Int32)
        /// Events were lost: whoever listens must look at the domain's live description.
        case reconcile
    }

    /// Why a domain stopped: `virDomainEventStoppedDetailType`.
    public enum Stop: Int32, Sendable, Hashable {
        /// The guest shut itself down, or was destroyed.
        case shutdown, destroyed
        /// The guest crashed.
        case crashed
        /// The domain is elsewhere, or in a file, now.
        case migrated, saved
        /// QEMU could not be started, has ended by itself, or was killed.
        case failed
        /// A snapshot that does not run took its place.
        case fromSnapshot
        /// A number that this package does not know.
        case unknown
    }

    /// How a guest crashed: `virDomainEventCrashedDetailType`.
    public enum Crash: Int32, Sendable, Hashable {
        /// The guest's kernel panicked, and said so to its panic device.
        case panicked
        /// The guest panicked, and its crash kernel has the machine now.
        case crashLoaded
        /// A number that this package does not know.
        case unknown = -1
    }

    /// The domain's UUID; `nil` for what concerns the connection.
    public let domain: String?
    /// What happened.
    public let kind: Kind

    init(domain: String?, _ kind: Kind) {
        self.domain = domain
        self.kind = kind
    }
}

extension DomainEvent.Kind {
    /// A `virDomainEventType` with its detail.
    init(lifecycle event: Int32, _ detail: Int32) {
        self =
            switch event {
            case 2: .started
            case 3: .suspended
            case 4: .resumed
            case 5: .stopped(DomainEvent.Stop(rawValue: detail) ?? .unknown)
            case 8: .crashed(DomainEvent.Crash(rawValue: detail) ?? .unknown)
            default: .lifecycle(event, detail)
            }
    }

    /// Libvirt 9.0 names a memory device that was added by its back end, `mem` and the alias, and one that was removed by
    /// the alias alone.
    static func alias(ofAdded name: String) -> String { name.hasPrefix("mem") ? String(name.dropFirst(3)) : name }
}

#endif
