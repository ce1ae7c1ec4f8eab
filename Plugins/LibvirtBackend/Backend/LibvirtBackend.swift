#if Libvirt
public import Custody
import Glibc
import GuestChannel

/// A back end that changes ownership of the memory of a domain that libvirt manages.
///
/// Every region of the layout is a memory module (a DIMM) at the region's address, made of a file that is ours:
///
/// - *Host to guest*: the module is plugged in, with the bytes that the host has put into it.
/// - *Shared and private*: this process's own window on the pages is closed or opened with `mprotect(2)`; other processes
///   are kept from opening the file (`HostSentry`), and those that have it are waited for, by name.
/// - *Guest to host*: the guest is asked to let the module go. That is over when libvirt says that the guest has, **and** the
///   kernel says that nobody has the file any more. Then its memory goes back to the system.
///
/// A guest that was asked cannot be told that it is not wanted any more. What it gives up later is offered to the observer.
public final class LibvirtBackend: MemoryBackend {
    /// What it can do.
    public let capabilities: Capabilities
    /// What libvirt says a domain of this kind could have.
    public let support: DomainSupport
    /// Where the guest has modules.
    public let layout: GuestMemoryLayout
    /// Who had what when this process came.
    public let initialOwnership: PageRunMap<Ownership>
    /// A thread of its own.
    public let executor: any CompletionExecutor
    /// The guest at the other end of its channel, where it has one.
    public let guestAgent: (any GuestAgent)?
    /// The domain.
    package let domain: ManagedDomain
    /// The process that runs the guest.
    package let emulator: Int32

    let modules: [MemoryModule]
    let sentry: HostSentry
    let channel: ChannelConnection?
    /// Whether the domain ends with this back end.
    let isOwn: Bool
    /// Whether all memory of a module is taken before the guest gets it.
    let takesMemory: Bool
    /// How long what is to come at once is waited for.
    let patience: Duration
    /// Where libvirt has its names of memory files, and where we have ours.
    let folders: MemoryFolders
    let gate: any CallGate
    let ledger: Locked<ChangeLedger>
    /// Processes that this one cannot look into, and that may have the guest's memory all the same.
    public let unseenProcesses: Set<UnseenProcesses>
    /// What it has cost so far to find out who else has the guest's memory.
    public var holderSearches: HolderSearches { register.searches }

    /// Those of them that the configuration does not accept.
    let unacceptedProcesses: Set<UnseenProcesses>
    private let lock: FolderLock
    private let register = ProcessRegister()
    let processes = NeighbourProcesses()
    let listeners = EventListeners()
    /// Hand-overs that a thread is at: one at a time ends one, or looks whether it is over.
    private let turns = Monitor<Set<BackendHandover>>([])

    /// The first guest-physical byte after the last one that a module can be at.
    static let regionsEnd: UInt64 = 512 << 30

    /// Whether memory that comes and goes can be there.
    static func hasRoom(for range: PageRange) -> Bool {
        range.address.rawValue >= DomainConfiguration.regionsBase && range.end <= regionsEnd / PageSize.base.bytes
    }

    /// Makes a domain, or finds one.
    ///
    /// - Throws: `BackendError` with code `unavailable` where libvirt or this user cannot do it.
    public convenience init(
        _ guest: GuestConfiguration,
        options: LibvirtOptions = LibvirtOptions()
    ) throws(BackendError) {
        try self.init(guest, options: options, gate: OpenGate())
    }

    /// Makes a domain, or finds one; every call passes through `gate`.
    ///
    /// - Parameters:
    ///   - patience: how long a guest is waited for that is to give back at once what it was given a moment ago, and how long
    ///     others who have pages open that were private when the process before ended, and libvirt's word of the end of a
    ///     domain that has been seen to have ended.
    ///   - executor: whom it hands work to that is not done at once; `nil` for threads of its own.
    package init(
        _ guest: GuestConfiguration,
        options: LibvirtOptions,
        gate: any CallGate,
        patience: Duration = .seconds(2),
        executor given: (any CompletionExecutor)? = nil
    ) throws(BackendError) {
        try LibvirtBackend.check(guest, options)
        let executor: any CompletionExecutor
        if let given { executor = given } else { executor = try ThreadExecutor() }
        let wake = Wake()
        let events = EventBuffer(capacity: 256) { executor.submit { wake.call() } }
        let unseen = try LibvirtBackend.unseenProcesses(gate)
        let opening = try DomainOpening(guest, options, events: events, gate: gate, patience: patience)
        var held: FolderLock?
        do throws(BackendError) {
            let cells = guest.layout.regions.indices.map(options.cell)
            try opening.checkRoom(for: guest.layout, in: cells)
            folders = try opening.findFolders()
            try MemoryFolders.checkFileSystem(of: folders.libvirt, acceptingDisk: options.acceptsDisk, gate: gate)
            lock = try opening.lock(folders, patience: patience)
            held = lock
            folders.removeLeftovers(gate: gate)
            emulator = try opening.findEmulator(folders)
            sentry = try HostSentry(gate: gate)
            sentry.exempt(emulator)
            modules = try opening.makeModules(
                guest.layout,
                folders,
                sentry,
                runBy: emulator,
                in: cells,
                accepting: options.acceptedUnseenProcesses,
                among: register,
                whenLetGo: { number in executor.submit { wake.target?.recheck(module: number) } },
                whenChanged: { number in executor.submit { wake.target?.contentsChanged(of: number) } }
            )
            if opening.isNew, options.initial == .shared {
                for module in modules {
                    try opening.plug(
                        module,
                        folders,
                        runBy: emulator,
                        takesMemory: !options.overcommits,
                        patience: patience
                    )
                }
            }
            let stock = try opening.takeStock(of: modules, guest.layout)
            initialOwnership = stock.ownership
            ledger = Locked(ChangeLedger(ownership: stock.ownership, presence: stock.presence))
            channel = try opening.connectChannel(guest.layout.granularity)
        } catch {
            throw opening.abandon(holding: held, after: error)
        }
        unseenProcesses = unseen
        unacceptedProcesses = unseen.subtracting(options.acceptedUnseenProcesses)
        layout = guest.layout
        support = opening.support
        capabilities = .libvirt(
            granularity: guest.layout.granularity,
            processors: opening.support.maximumProcessors,
            unseen: unseen
        )
        self.executor = executor
        self.gate = gate
        domain = opening.domain
        isOwn = opening.isOwn
        takesMemory = !options.overcommits
        self.patience = patience
        // A guest that boots first, or whose processor has to wait for a busy host's, answers late.
        guestAgent = channel.map { ChannelGuestAgent($0, patience: .seconds(120)) }
        wake.target = self
        // What happened between the look at the domain and now is in the live description.
        executor.submit { [weak self] in
            self?.takeEvents()
            self?.catchUp()
        }
    }

    deinit { shutDown() }

    /// Names who is told; it is held weakly. A guest's own requests go there, too.
    public func report(to observer: any BackendObserver) {
        ledger.withLock { $0.observer = observer }
        channel?.serve(observer as? any ChannelConnection.Services)
    }

    /// Runs `body` while nobody else is at a hand-over.
    func withTurn<Result>(at handover: BackendHandover, _ body: () -> Result) -> Result {
        let entered: Void? = turns.wait { $0.insert(handover).inserted ? () : nil }
        _ = entered
        defer { turns.update { _ = $0.remove(handover) } }
        return body()
    }

    /// Leaves everything as it is, as a process does that is killed: for tests.
    package func abandon() {
        ledger.withLock { ledger in
            ledger.isEnded = true
            ledger.lost = BackendError(.lost, "the back end was abandoned")
        }
        channel?.close()
        processes.endAll()
        sentry.close()
        lock.release()
    }

    private static func unseenProcesses(_ gate: any CallGate) throws(BackendError) -> Set<UnseenProcesses> {
        do throws(HostError) { return try UnseenProcesses.here(gate) } catch {
            throw BackendError(.unavailable, "which processes this one may look into cannot be found out", cause: error)
        }
    }

    /// Ends the domain, where it was made here, and takes its files away; an adopted one runs on, with the modules that it
    /// has. Nobody keeps others from its private pages then: the observer is told that they are shared.
    ///
    /// A domain that cannot be ended keeps its files, and the observer is told.
    public func shutDown() {
        let isFirst = ledger.withLock { ledger in
            defer { ledger.isEnded = true }
            if ledger.lost == nil { ledger.lost = BackendError(.lost, "the guest has been shut down") }
            return !ledger.isEnded
        }
        guard isFirst else { return }
        defer { lock.release() }
        listeners.end()
        channel?.close()
        processes.endAll()
        guard isOwn else {
            tellThatPrivatePagesAreShared()
            for module in modules { module.open() }
            return folders.leave(domain, asked: Set(modules.indices.filter { modules[$0].isAsked }), gate: gate)
        }
        do throws(VirError) { try domain.end() } catch {
            for module in modules { module.open() }
            let message = "the domain ‘\(domain.name)’ cannot be ended: it runs on, with its files in \(folders.ours)"
            let failure = BackendError(.lost, message, cause: error)
            let observer = ledger.withLock { ledger in
                ledger.lost = failure
                return ledger.observer
            }
            observer?.backendLost(failure)
            return
        }
        // Whoever has a name or a handle of a file reaches it when nobody guards it any more: it has to be empty by then.
        for module in modules { erase(module) }
        folders.remove(gate: gate)
    }

    /// Drops what is in a module's file, and lets others have it then. Where it cannot be emptied, who has kept a name of it finds
    /// the bytes when this process has ended: the observer is told.
    private func erase(_ module: MemoryModule) {
        do throws(HostError) { try module.erase() } catch {
            let message =
                "the file of module \(module.alias) cannot be emptied: whoever has another name of it can read it"
            let failure = BackendError(.system, message, range: module.range, cause: error)
            ledger.withLock { $0.observer }?.backendLost(failure)
            return
        }
        module.open()
    }

    private func tellThatPrivatePagesAreShared() {
        let (ownership, observer) = ledger.withLock { ledger in
            var isNews = false
            for run in ledger.ownership.runs where run.state == .private {
                ledger.ownership.set(run.range, to: .shared)
                isNews = true
            }
            return (ledger.ownership, isNews ? ledger.observer : nil)
        }
        observer?.backendReconnected(finding: ownership)
    }

    /// The largest number of modules and pools of a domain.
    static let maximumModules = 250

    /// Whether there can be modules like the layout's regions.
    private static func check(_ guest: GuestConfiguration, _ options: LibvirtOptions) throws(BackendError) {
        let unit: UInt64 = 1 << 20
        if let uri = options.uri, let flaw = LibvirtURI.flaw(in: uri) {
            throw BackendError(.invalidArgument, "the URI ‘\(uri)’ \(flaw)")
        }
        if let flaw = options.flawOfName { throw BackendError(.invalidArgument, flaw) }
        if let flaw = options.vainKey { throw BackendError(.invalidArgument, flaw) }
        guard options.moduleCells.count <= guest.layout.regions.count else {
            throw BackendError(
                .invalidArgument,
                "‘module-cells’ names \(options.moduleCells.count) cells, and the guest's memory has "
                    + "\(guest.layout.regions.count) regions"
            )
        }
        guard guest.layout.regions.count + options.elasticPools.count <= maximumModules else {
            throw BackendError(
                .unsupported,
                "a domain has room for \(maximumModules) modules and pools; each region of its memory is a module"
            )
        }
        if let (pool, flaw) = ElasticPoolConfiguration.overlap(of: options.elasticPools, beside: guest.layout.regions) {
            throw BackendError(.invalidArgument, flaw, range: pool.range)
        }
        for region in guest.layout.regions {
            guard hasRoom(for: region) else {
                throw BackendError(.unsupported, "modules are at addresses from 4 GiB to 512 GiB", range: region)
            }
            guard region.address.rawValue.isMultiple(of: unit), region.byteCount.isMultiple(of: unit) else {
                throw BackendError(.unsupported, "modules begin and end at a multiple of 1 MiB", range: region)
            }
        }
    }
}

extension LibvirtBackend {
    /// What events wake, once it is there.
    private final class Wake: Sendable {
        private let reference = Locked<WeakReference>(WeakReference())

        private struct WeakReference: Sendable {
            weak var backend: LibvirtBackend?
        }

        var target: LibvirtBackend? {
            get { reference.withLock { $0.backend } }
            set { reference.withLock { $0.backend = newValue } }
        }

        func call() { target?.takeEvents() }
    }
}

#endif
