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
    private let gate: any CallGate

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

    /// The processes that have a domain's UUID on their command line.
    private static func processes(of domain: ManagedDomain) -> [Int32] {
        ProcessMaps.processes.filter { process in
            ProcessMaps.text("/proc/\(process)/cmdline").split(separator: "\0").contains { $0 == domain.uuid }
        }
    }

    // MARK: The domain

    /// The domain of this name or UUID, where one runs: what does not run is no guest, and a definition of it may stay.
    private static func find(
        _ name: String,
        _ connection: borrowing Connection,
        _ events: EventBuffer
    ) throws(VirError) -> ManagedDomain? {
        if let domain = try connection.domain(named: name) {
            return try domain.isActive() ? ManagedDomain(connection.share(), domain, events: events) : nil
        }
        guard name.utf8.count == 36, let domain = try connection.domain(uuid: name) else { return nil }
        return try domain.isActive() ? ManagedDomain(connection.share(), domain, events: events) : nil
    }

    /// Makes the domain. A name whose QEMU has ended a moment ago is not free at once.
    private static func make(
        _ description: XMLElement,
        _ connection: borrowing Connection,
        _ events: EventBuffer
    ) throws(VirError) -> ManagedDomain {
        let end = ContinuousClock.now + .seconds(5)
        while true {
            do throws(VirError) {
                let domain = try connection.create(description)
                do throws(VirError) {
                    return try ManagedDomain(connection.share(), domain.share(), events: events)
                } catch {
                    try? domain.destroy()
                    throw error
                }
            } catch {
                guard error.code == .operationFailed, ContinuousClock.now < end else { throw error }
                usleep(50_000)
            }
        }
    }

    /// The element that marks a domain as made here.
    private static let mark = "custody:guest"

    private static func description(
        _ guest: GuestConfiguration,
        _ options: LibvirtOptions,
        socket: String,
        _ gate: any CallGate
    ) throws(BackendError) -> XMLElement {
        var configuration = DomainConfiguration(
            name: options.domain,
            regionsEnd: guest.layout.bounds.end * PageSize.base.bytes,
            slots: guest.layout.regions.count
        )
        configuration.accelerator = options.usesKVM ? .kvm : .emulated
        configuration.baseMemory = options.baseMemory.rawValue
        configuration.processors = guest.processors
        configuration.metadata = [XMLElement(mark, ["xmlns:custody": "urn:custody"])]
        switch options.guest {
        case .micro:
            let image = "\(options.root)/micro-guest.bin"
            let bytes = try MicroGuestImage.bytes()
            do throws(HostError) {
                try gate.makeDirectory(options.root)
                try gate.replace(image, with: bytes)
            } catch {
                throw BackendError(.unavailable, "the guest's firmware cannot be written", cause: error)
            }
            configuration.firmware = image
            configuration.serialSocket = "\(options.root)/\(options.domain).console"
            configuration.channelSocket = socket
        case .linux:
            configuration.kernel = (options.kernel ?? "", options.initrd, options.commandLine)
            configuration.devices.append(
                XMLElement(
                    "channel",
                    ["type": "unix"],
                    [
                        XMLElement("source", ["mode": "bind", "path": socket]),
                        XMLElement("target", ["type": "virtio", "name": "org.custody.guest.0"]),
                    ]
                )
            )
        }
        return configuration.description
    }

    // MARK: Where it is

    /// Where its memory files are: QEMU itself says.
    func findFolders() throws(BackendError) -> MemoryFolders {
        let answer = try DomainOpening.asking("QEMU does not tell where its memory is") { () throws(VirError) in
            try domain.use { domain throws(VirError) in
                try domain.monitor(
                    #"{"execute":"qom-get","arguments":{"path":"/objects/ram-node0","property":"mem-path"}}"#
                )
            }
        }
        guard let path = MonitorAnswer.string(answer),
            let folders = MemoryFolders(baseMemory: path, domain: domain.name)
        else {
            throw BackendError(
                .unsupported,
                "the domain's memory is not in files: it needs <memoryBacking> with <source type='file'/>, "
                    + "<access mode='shared'/> and a NUMA cell; \(AdoptedMemory(of: LiveDescription(live)).remark)"
            )
        }
        do throws(HostError) { try gate.makeDirectory(folders.ours) } catch {
            throw BackendError(.unavailable, "the directory of the memory files cannot be made", cause: error)
        }
        return folders
    }

    /// The process that runs it: the one that has its base memory mapped and its UUID on the command line.
    func findEmulator(_ folders: MemoryFolders) throws(BackendError) -> Int32 {
        let end = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < end {
            let found = DomainOpening.processes(of: domain).first { process in
                ProcessMaps.text("/proc/\(process)/maps").contains(folders.libvirt + "/ram-node0")
            }
            if let found { return found }
            usleep(10_000)
        }
        throw BackendError(.unavailable, "the process that runs the domain is not to be seen by this user")
    }

    // MARK: Its modules

    /// Opens the files of the modules, and listens to who lets go of them. Where the guest has one, its file is the one of the
    /// process before; any other begins empty.
    ///
    /// A file is watched before it is closed to anybody: without privileges that is to be allowed to open it.
    func makeModules(
        _ layout: GuestMemoryLayout,
        _ folders: MemoryFolders,
        _ sentry: HostSentry,
        whenLetGo: @escaping @Sendable (Int) -> Void
    ) throws(BackendError) -> [MemoryModule] {
        // Beside what an adopted domain has itself.
        let others = live.first("devices")?.elements("memory").filter { device in
            device.first("alias")?["name"]?.hasPrefix("ua-custody-") != true
        }
        let taken = others?.compactMap { $0.first("address")?["slot"].flatMap { Int($0) } }.max()
        let firstSlot = taken.map { $0 + 1 } ?? 0
        var modules: [MemoryModule] = []
        for (number, range) in layout.regions.enumerated() {
            let path = folders.path(of: number)
            let plugged = live.memoryModule(MemoryModule.alias(number))
            if let plugged {
                let base = plugged.first("address")?["base"].flatMap { UInt64($0.dropFirst(2), radix: 16) }
                guard base == range.address.rawValue, plugged.kibibytes == range.byteCount / 1024 else {
                    throw BackendError(.invalidArgument, "the guest has another module than the layout", range: range)
                }
                guard unsafe access(path, F_OK) == 0 else {
                    throw BackendError(.lost, "the file of a module that the guest has is gone", range: range)
                }
            }
            do throws(HostError) {
                if plugged == nil { for name in [path, path + ".record"] { try gate.remove(name) } }
                let file = try ModuleFile(path: path, size: range.byteCount, gate: gate)
                try sentry.watch(file) { whenLetGo(number) }
                let slot = plugged?.first("address")?["slot"].flatMap { Int($0) } ?? firstSlot + number
                modules.append(MemoryModule(range, number: number, slot: slot, file: file, sentry: sentry))
            } catch {
                let code: BackendError.Code = error.errno == ENOSPC ? .resourcesExhausted : .system
                throw BackendError(code, "the file of a module cannot be made and watched", range: range, cause: error)
            }
        }
        return modules
    }

    /// Gives the guest a module at the very beginning.
    func plug(_ module: MemoryModule, _ folders: MemoryFolders, takesMemory: Bool) throws(BackendError) {
        if takesMemory { try module.takeMemory() }
        try module.plug(into: domain, folders, gate: gate)
    }

    /// Finds out who has what. Pages that were private stay so, unless another process has got at them meanwhile.
    func takeStock(
        of modules: [MemoryModule],
        _ layout: GuestMemoryLayout,
        emulator: Int32
    ) throws(BackendError) -> (ownership: PageRunMap<Ownership>, presence: [ChangeLedger.Presence]) {
        var ownership = PageRunMap(bounds: layout.bounds, state: Ownership.host)
        var presence: [ChangeLedger.Presence] = []
        let live = try domain.describe()
        for module in modules {
            let isPlugged = live.memoryModule(module.alias) != nil
            presence.append(isPlugged ? .plugged : .absent)
            guard isPlugged else { continue }
            ownership.set(module.range, to: .shared)
            do throws(HostError) {
                for pages in module.recordedPrivate {
                    try module.hide(pages)
                    if try module.holders(of: pages, but: emulator, at: .zero, gate: gate).isEmpty {
                        ownership.set(pages, to: .private)
                    } else {
                        try module.show(pages)
                        module.record(pages, isPrivate: false)
                    }
                }
            } catch {
                throw BackendError(.system, "the private pages of before cannot be closed", cause: error)
            }
            module.admit()
        }
        return (ownership, presence)
    }

    /// The channel to the guest.
    func connectChannel(_ granularity: PageSize) throws(BackendError) -> ChannelConnection? {
        guard let channelPath else { return nil }
        return try ChannelConnection(path: channelPath, granularity: granularity)
    }

    private static func asking<Result: ~Copyable>(
        _ message: String,
        _ body: () throws(VirError) -> Result
    ) throws(BackendError) -> Result {
        do throws(VirError) { return try body() } catch {
            throw BackendError(.unavailable, message, cause: error)
        }
    }
}

extension XMLElement {
    /// The size of a memory device, in KiB.
    var kibibytes: UInt64? {
        guard let size = first("target", "size"), let number = UInt64(size.content) else { return nil }
        switch size["unit"] ?? "KiB" {
        case "KiB", "k", "KB": return number
        case "MiB", "M": return number << 10
        case "GiB", "G": return number << 20
        default: return nil
        }
    }
}

#endif
