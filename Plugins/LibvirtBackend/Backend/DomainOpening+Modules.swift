#if Libvirt
import Custody
import Glibc

// Its modules: their files, and what the guest has of them.
extension DomainOpening {
    /// Sees that all modules can be plugged in, before anything is done.
    ///
    /// - Throws: `BackendError` with what the domain lacks, or has in the way.
    func checkRoom(for layout: GuestMemoryLayout, in cells: [Int]) throws(BackendError) {
        let room = ModuleRoom(of: LiveDescription(live), for: layout.regions)
        try room.checkDescription()
        try room.checkCells(cells)
        let devices = try domain.ask("query-memory-devices", for: [MemoryDevice].self)
        let tree = try domain.ask("human-monitor-command", ["command-line": "info mtree"], for: String.self)
        try room.checkAddresses(beside: devices, within: ModuleRoom.place(in: tree))
    }

    /// Opens the files of the modules, and listens to who lets go of them. Where the guest has one, its file is the one of the
    /// process before; any other begins empty.
    ///
    /// A file is watched before it is closed to anybody: without privileges that is to be allowed to open it.
    func makeModules(
        _ layout: GuestMemoryLayout,
        _ folders: MemoryFolders,
        _ sentry: HostSentry,
        runBy emulator: Int32,
        in cells: [Int],
        accepting accepted: Set<UnseenProcesses>,
        among register: ProcessRegister,
        whenLetGo: @escaping @Sendable (Int) -> Void,
        whenChanged: @escaping @Sendable (Int) -> Void
    ) throws(BackendError) -> [MemoryModule] {
        // What is there of modules that the guest has not, however many there were.
        folders.removeFiles(except: { live.memoryModule(MemoryModule.alias($0)) != nil }, gate: gate)
        var freeSlots = ModuleRoom(of: LiveDescription(live), for: layout.regions).freeSlots()[...]
        // What a module without a word of its own is: an earlier version gave them none.
        let isShared = live.first("memoryBacking", "access")?["mode"] == "shared"
        let known = Set(layout.regions.indices.map(MemoryModule.alias))
        let aliases = live.first("devices")?.elements("memory").compactMap { $0.first("alias")?["name"] } ?? []
        if let stranger = aliases.first(where: { MemoryModule.number(of: $0) != nil && !known.contains($0) }) {
            throw BackendError(
                .unavailable,
                "the guest has a module ‘\(stranger)’, and the configuration has \(known.count): its memory would be nobody's"
            )
        }
        var modules: [MemoryModule] = []
        for (number, range) in layout.regions.enumerated() {
            let path = folders.path(of: number)
            let plugged = live.memoryModule(MemoryModule.alias(number))
            if let plugged {
                let base = plugged.first("address")?["base"].flatMap { UInt64($0.dropFirst(2), radix: 16) }
                let cell = plugged.first("target", "node").flatMap { Int($0.content) } ?? 0
                guard base == range.address.rawValue, plugged.first("target", "size")?.byteCount == range.byteCount,
                    cell == cells[number]
                else {
                    let text = "the guest has another module there than is configured"
                    throw BackendError(.invalidArgument, text, range: range)
                }
                guard plugged["access"].map({ $0 == "shared" }) ?? isShared else {
                    throw BackendError(.unsupported, "the guest has a module that it does not share", range: range)
                }
            }
            let itsSlot = plugged?.first("address")?["slot"].flatMap { Int($0) }
            guard let slot = itsSlot ?? freeSlots.popFirst() else {
                throw BackendError(
                    .unsupported,
                    "the domain has no free slot for the module: its <maxMemory> has \(live.first("maxMemory")?["slots"] ?? "no slots")",
                    range: range
                )
            }
            let module: MemoryModule
            do throws(HostError) {
                let size = range.byteCount
                let file =
                    plugged == nil
                    ? try ModuleFile(path: path, size: size, owner: folders.owner, gate: gate)
                    : try ModuleFile(path: path, or: folders.libvirtPath(of: number), size: size, gate: gate)
                try sentry.watch(file, whenLetGo: { whenLetGo(number) }, whenChanged: { whenChanged(number) })
                module = MemoryModule(
                    range,
                    number: number,
                    slot: slot,
                    cell: cells[number],
                    file: file,
                    sentry: sentry,
                    accepting: accepted,
                    among: register
                )
                // Who opens it is known from now on, and who has it.
                if plugged == nil { _ = try module.isOurs() }
            } catch {
                if plugged != nil, error.errno == ENOENT {
                    throw BackendError(
                        .lost,
                        "the file of a module that the guest has is gone",
                        range: range,
                        cause: error
                    )
                }
                let code: BackendError.Code = error.errno == ENOSPC ? .resourcesExhausted : .system
                throw BackendError(code, "the file of the module cannot be made", range: range, cause: error)
            }
            if plugged != nil { try check(module, runBy: emulator) }
            modules.append(module)
        }
        return modules
    }

    /// Sees that a module that the guest has is made of our file: it is not where somebody has restored the domain, for example.
    private func check(_ module: MemoryModule, runBy emulator: Int32) throws(BackendError) {
        do throws(BackendError) { try module.check(domain, runBy: emulator, gate: gate) } catch {
            guard isOwn, error.code == .lost else { throw error }
            let text = error.message + ". ‘fresh: true’ ends the domain, and makes another one"
            throw BackendError(error.code, text, range: error.range, cause: error.cause)
        }
    }

    /// Gives the guest a module at the very beginning.
    func plug(
        _ module: MemoryModule,
        _ folders: MemoryFolders,
        runBy emulator: Int32,
        takesMemory: Bool,
        patience: Duration
    ) throws(BackendError) {
        if takesMemory { try module.takeMemory() }
        try module.plug(into: domain, runBy: emulator, folders, patience: patience, gate: gate)
    }

    /// Finds out who has what. What the guest has is shared: pages that were private when the process before ended have been
    /// within everybody's reach since, and nothing tells who has read them.
    func takeStock(
        of modules: [MemoryModule],
        _ layout: GuestMemoryLayout
    ) throws(BackendError) -> (ownership: PageRunMap<Ownership>, presence: [ChangeLedger.Presence]) {
        var ownership = PageRunMap(bounds: layout.bounds, state: Ownership.host)
        var presence: [ChangeLedger.Presence] = []
        let live = try domain.describe()
        for module in modules {
            let isPlugged = live.memoryModule(module.alias) != nil
            presence.append(isPlugged ? .plugged : .absent)
            if isPlugged { ownership.set(module.range, to: .shared) }
        }
        return (ownership, presence)
    }
}

#endif
