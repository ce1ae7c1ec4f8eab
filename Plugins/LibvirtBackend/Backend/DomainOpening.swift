#if Libvirt
import Custody
import Glibc
import GuestChannel

/// A domain that was made or found, and what has to be known of it before there is a back end.
struct DomainOpening: Sendable {
    /// The domain.
    let domain: ManagedDomain
    /// Whether it ends with its back end.
    let isOwn: Bool
    /// Whether it was made just now.
    let isNew: Bool
    /// The socket of its guest channel.
    let channelPath: String?
    /// What it is, as libvirt describes it.
    let live: XMLElement
    let gate: any CallGate

    /// Connects, and makes or finds the domain.
    init(
        _ guest: GuestConfiguration,
        _ options: LibvirtOptions,
        events: EventBuffer,
        gate: any CallGate
    ) throws(BackendError) {
        self.gate = gate
        let root = EmbeddedRoot(options.root, memory: options.memory)
        if options.uri == nil { try root.prepare(gate: gate) }
        let connection = try DomainOpening.asking("libvirt cannot be reached") { () throws(VirError) in
            try Connection.open(options.uri ?? root.uri, gate: gate)
        }
        let ownSocket = "\(options.root)/\(options.domain).channel"
        isOwn = options.adopt == nil
        channelPath = options.adopt == nil ? ownSocket : options.channel
        let found = try DomainOpening.asking("the domain cannot be looked for") { () throws(VirError) in
            try DomainOpening.find(options.adopt ?? options.domain, connection, events)
        }
        isNew = found == nil
        if let found {
            domain = found
        } else if let name = options.adopt {
            throw BackendError(.unavailable, "there is no domain ‘\(name)’ at \(connection.uri)")
        } else {
            let description = try DomainOpening.description(guest, options, socket: ownSocket, gate)
            domain = try DomainOpening.asking("the domain cannot be made") { () throws(VirError) in
                try DomainOpening.make(description, connection, events)
            }
        }
        do throws(BackendError) {
            live = try self.domain.describe()
            if isOwn, live.first("metadata", DomainOpening.mark) == nil {
                throw BackendError(
                    .unavailable,
                    "the domain ‘\(options.domain)’ is somebody else's: name another one, or adopt it"
                )
            }
            if let wanted = options.launchSecurity?.kind, LaunchSecurity.kind(in: LiveDescription(live)) != wanted {
                throw BackendError(
                    .unavailable,
                    "the domain ‘\(options.domain)’ runs already, without the launch security ‘\(wanted)’"
                )
            }
        } catch {
            if isNew { DomainOpening.end(self.domain) }
            throw error
        }
    }

    /// Ends what was made for nothing, and takes its files away.
    func abandon(_ layout: GuestMemoryLayout) {
        guard isNew else { return }
        let folders = try? findFolders()
        DomainOpening.end(domain)
        guard let folders else { return }
        for number in layout.regions.indices {
            let path = folders.path(of: number)
            let names = [path, path + ".record", folders.libvirt + "/" + MemoryModule.alias(number)]
            for name in names { try? gate.remove(name) }
        }
        folders.removeOurs()
    }

    /// Ends a domain.
    static func end(_ domain: ManagedDomain) {
        // One that is gone already is as good as one that ended now.
        try? domain.use { domain throws(VirError) in try domain.destroy() }
    }

    /// The channel to the guest.
    func connectChannel(_ granularity: PageSize) throws(BackendError) -> ChannelConnection? {
        guard let channelPath else { return nil }
        return try ChannelConnection(path: channelPath, granularity: granularity)
    }

    static func asking<Result: ~Copyable>(
        _ message: String,
        _ body: () throws(VirError) -> Result
    ) throws(BackendError) -> Result {
        do throws(VirError) { return try body() } catch {
            throw BackendError(.unavailable, message, cause: error)
        }
    }
}

#endif
