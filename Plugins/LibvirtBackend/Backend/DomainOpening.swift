#if Libvirt
import Custody
import FoundationEssentials
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
    /// The directory of the memory files, of the driver in this process.
    let memory: String?
    /// The socket of its guest channel.
    let channelPath: String?
    /// What it is, as libvirt describes it.
    let live: XMLElement
    /// What a domain of its kind could have.
    let support: DomainSupport
    let gate: any CallGate

    /// Connects, and makes or finds the domain.
    init(
        _ guest: GuestConfiguration,
        _ options: LibvirtOptions,
        events: EventBuffer,
        gate: any CallGate,
        patience: Duration
    ) throws(BackendError) {
        self.gate = gate
        let root = EmbeddedRoot(of: options)
        if options.uri == nil {
            if let obstacle = EmbeddedRoot.obstacleToState() { throw obstacle }
            try root.prepare(gate: gate)
            try MemoryFolders.checkFileSystem(of: root.memoryInUse, acceptingDisk: options.acceptsDisk, gate: gate)
        }
        memory = options.uri == nil ? root.memoryInUse : nil
        let connection = try DomainOpening.asking("libvirt cannot be reached") { () throws(VirError) in
            try Connection.open(
                options.uri ?? root.uri,
                gate: gate,
                options.authenticate.map(ConnectionAuthentication.init)
            )
        }
        let ownSocket = "\(options.root)/\(options.domain).channel"
        isOwn = options.adopt == nil
        channelPath = options.adopt == nil ? ownSocket : options.channel
        var found = try DomainOpening.find(options.adopt ?? options.domain, connection, events)
        if options.startsFresh, let old = found {
            try DomainOpening.replace(old, options, gate, patience: patience)
            found = nil
        }
        isNew = found == nil
        if let found {
            domain = found
        } else if let name = options.adopt {
            throw try DomainOpening.isThere(name, connection)
                ? BackendError(
                    .unavailable,
                    "the domain ‘\(name)’ is there and does not run: it is adopted while it runs (virsh start \(name))"
                ) : BackendError(.unavailable, "there is no domain ‘\(name)’ at \(connection.uri)")
        } else {
            if try DomainOpening.isThere(options.domain, connection, withMark: false) {
                throw DomainOpening.foreign(options)
            }
            if options.uri == nil, !options.overcommits {
                try DomainOpening.checkSpace(for: options.baseMemory, in: root.memoryInUse)
            }
            let uuid = UUID().uuidString.lowercased()
            let description = try DomainOpening.description(guest, options, uuid: uuid, socket: ownSocket, gate)
            domain = try DomainOpening.asking("the domain cannot be made") { () throws(VirError) in
                try DomainOpening.make(description, uuid: uuid, connection, events)
            }
        }
        do throws(BackendError) {
            live = try self.domain.describe()
            if isOwn, live.first("metadata", DomainOpening.mark) == nil {
                throw DomainOpening.foreign(options)
            }
            if isOwn { try DomainOpening.check(live, isMadeFor: guest, options) }
            let kind = LiveDescription(live)
            support = try self.domain.useConnection { connection throws(BackendError) in
                try DomainSupport(of: connection, kind: kind)
            }
        } catch {
            guard isNew else { throw error }
            throw DomainOpening.end(self.domain, after: error) ?? error
        }
    }

    /// Holds what the domain was made of against what is configured.
    private static func check(
        _ live: XMLElement,
        isMadeFor guest: GuestConfiguration,
        _ options: LibvirtOptions
    ) throws(BackendError) {
        func settings(_ element: XMLElement?) -> [String: String] {
            let all = element?.elements("custody:setting") ?? []
            return all.reduce(into: [:]) { $0[$1["key"] ?? ""] = $1.content }
        }
        let made = settings(live.first("metadata", mark))
        let wanted = settings(DomainOpening.settings(guest, options))
        let changed = Set(made.keys).union(wanted.keys).filter { made[$0] != wanted[$0] }.sorted()
        guard changed.isEmpty else {
            let differences = changed.map {
                "‘\($0)’ is \(wanted[$0] ?? "not named"), and was \(made[$0] ?? "not named")"
            }
            throw BackendError(
                .unavailable,
                "the domain ‘\(options.domain)’ runs already and was made by another configuration: "
                    + "\(differences.joined(separator: "; ")). ‘fresh: true’ ends it, and makes another one"
            )
        }
    }

    /// Ends a domain that an earlier process left, with what is in its memory.
    ///
    /// - Throws: `BackendError` with code `unavailable` where it is somebody else's, or in use.
    private static func replace(
        _ domain: ManagedDomain,
        _ options: LibvirtOptions,
        _ gate: any CallGate,
        patience: Duration
    ) throws(BackendError) {
        guard try domain.describe().first("metadata", mark) != nil else { throw foreign(options) }
        let folders = try findFolders(of: domain, gate, else: "")
        try OwnDirectory(folders.custody, gate: gate)
        let lock = try FolderLock(folders.ours, patience: patience, gate: gate)
        defer { lock.release() }
        try asking("the domain that is to be made anew cannot be ended") { () throws(VirError) in try domain.end() }
        folders.remove(gate: gate)
    }

    private static func foreign(_ options: LibvirtOptions) -> BackendError {
        BackendError(
            .unavailable,
            "the domain ‘\(options.domain)’ is somebody else's: name another one, or adopt it"
        )
    }

    /// Ends what was made for nothing, and takes its files away; of a domain that was there before, those that it has not.
    ///
    /// What another back end has locked is that one's, and so is the domain.
    ///
    /// - Returns: what to throw: the reason, and whether the domain is left.
    func abandon(holding held: FolderLock?, after reason: BackendError) -> BackendError {
        let folders = try? findFolders()
        var lock = held
        if lock == nil, let folders {
            // What is in a directory that is not ours stays.
            do throws(BackendError) { lock = try self.lock(folders, patience: .seconds(1)) } catch {
                if (error.cause as? HostError)?.errno == EWOULDBLOCK { return reason }
            }
        }
        defer { lock?.release() }
        guard isNew else {
            if lock != nil { folders?.removeUnplugged(of: domain, gate: gate) }
            return reason
        }
        let error = DomainOpening.end(domain, after: reason)
        if error == nil, lock != nil { folders?.remove(gate: gate) }
        return error ?? reason
    }

    /// Ends a domain.
    ///
    /// - Returns: `nil` where it has ended; else an error that says so beside the reason.
    private static func end(_ domain: ManagedDomain, after reason: BackendError) -> BackendError? {
        do throws(VirError) {
            try domain.end()
            return nil
        } catch {
            return BackendError(
                reason.code,
                "\(reason.message); and the domain ‘\(domain.name)’ that was made for it is left: \(error)",
                range: reason.range,
                cause: reason.cause
            )
        }
    }

    /// The channel to the guest.
    ///
    /// - Throws: `BackendError` with what ‘channel’ is, and what channels the domain has.
    func connectChannel(_ granularity: PageSize) throws(BackendError) -> ChannelConnection? {
        guard let channelPath else { return nil }
        do throws(BackendError) {
            return try ChannelConnection(path: channelPath, granularity: granularity)
        } catch {
            guard !isOwn else {
                throw BackendError(
                    error.code,
                    "the guest's channel cannot be opened: \(error.message)",
                    cause: error.cause
                )
            }
            let description = LiveDescription(live)
            let sockets = (description.devices("channel") + description.devices("serial")).compactMap { device in
                device["type"] == "unix" ? device.first("source")?["path"].map { "‘\($0)’" } : nil
            }
            throw BackendError(
                error.code,
                "the guest's channel cannot be opened by ‘channel’: \(error.message); "
                    + (sockets.isEmpty
                        ? "the domain ‘\(domain.name)’ has no <channel type=\"unix\">: give it one, or leave ‘channel’ out"
                        : "the domain ‘\(domain.name)’ has \(sockets.joined(separator: " and "))"),
                cause: error.cause
            )
        }
    }

    /// - Parameter better: What is to be said in place of the message, where more is known.
    static func asking<Result: ~Copyable>(
        _ message: String,
        unless better: () -> String? = { nil },
        _ body: () throws(VirError) -> Result
    ) throws(BackendError) -> Result {
        do throws(VirError) { return try body() } catch {
            throw BackendError(.unavailable, better() ?? message, cause: error)
        }
    }
}

#endif
