#if Libvirt
import Custody
import Glibc

// Its modules: their files, and what the guest has of them.
extension DomainOpening {
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
        // What a module without a word of its own is: an earlier version gave them none.
        let isShared = live.first("memoryBacking", "access")?["mode"] == "shared"
        var modules: [MemoryModule] = []
        for (number, range) in layout.regions.enumerated() {
            let path = folders.path(of: number)
            let plugged = live.memoryModule(MemoryModule.alias(number))
            if let plugged {
                let base = plugged.first("address")?["base"].flatMap { UInt64($0.dropFirst(2), radix: 16) }
                guard base == range.address.rawValue, plugged.first("target", "size")?.byteCount == range.byteCount
                else {
                    let text = "the guest has another module there than is configured"
                    throw BackendError(.invalidArgument, text, range: range)
                }
                guard plugged["access"].map({ $0 == "shared" }) ?? isShared else {
                    throw BackendError(.unsupported, "the guest has a module that it does not share", range: range)
                }
                guard unsafe access(path, F_OK) == 0 else {
                    throw BackendError(.lost, "the file of a module that the guest has is gone", range: range)
                }
            }
            do throws(HostError) {
                if plugged == nil { for name in [path, path + ".record"] { try gate.remove(name) } }
                let file = try ModuleFile(path: path, size: range.byteCount, owner: folders.owner, gate: gate)
                try sentry.watch(file) { whenLetGo(number) }
                let slot = plugged?.first("address")?["slot"].flatMap { Int($0) } ?? firstSlot + number
                modules.append(MemoryModule(range, number: number, slot: slot, file: file, sentry: sentry))
            } catch {
                let code: BackendError.Code = error.errno == ENOSPC ? .resourcesExhausted : .system
                throw BackendError(code, "the file of the module cannot be made", range: range, cause: error)
            }
        }
        return modules
    }

    /// Gives the guest a module at the very beginning.
    func plug(_ module: MemoryModule, _ folders: MemoryFolders, takesMemory: Bool) throws(BackendError) {
        if takesMemory { try module.takeMemory() }
        try module.plug(into: domain, folders, gate: gate)
    }

    /// Finds out who has what. Pages that were private stay so, unless another process has got at them meanwhile and does not
    /// let go within `patience`: one that this process forks off has its files until it becomes a program.
    func takeStock(
        of modules: [MemoryModule],
        _ layout: GuestMemoryLayout,
        emulator: Int32,
        _ patience: Duration
    ) throws(BackendError) -> (ownership: PageRunMap<Ownership>, presence: [ChangeLedger.Presence]) {
        var ownership = PageRunMap(bounds: layout.bounds, state: Ownership.host)
        var presence: [ChangeLedger.Presence] = []
        let live = try domain.describe()
        for module in modules {
            let isPlugged = live.memoryModule(module.alias) != nil
            presence.append(isPlugged ? .plugged : .absent)
            guard isPlugged else { continue }
            ownership.set(module.range, to: .shared)
            let deadline = ContinuousClock.now + patience
            do throws(HostError) {
                for pages in module.recordedPrivate {
                    try module.hide(pages)
                    if try isLetGo(module, pages, emulator, deadline) {
                        ownership.set(pages, to: .private)
                    } else {
                        try module.show(pages)
                        module.record(pages, isPrivate: false)
                    }
                }
            } catch {
                throw BackendError(.system, "pages that were private before cannot be closed again", cause: error)
            }
            module.admit()
        }
        return (ownership, presence)
    }

    /// Sleeps until no process but QEMU has a module that others cannot open any more.
    ///
    /// - Returns: `false` where one has it at the deadline.
    private func isLetGo(
        _ module: MemoryModule,
        _ pages: PageRange,
        _ emulator: Int32,
        _ deadline: ContinuousClock.Instant
    ) throws(HostError) -> Bool {
        while true {
            if try module.holders(of: pages, but: emulator, at: .zero).isEmpty { return true }
            guard ContinuousClock.now < deadline else { return false }
            usleep(20_000)
        }
    }
}

#endif
