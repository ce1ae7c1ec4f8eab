#if Libvirt
import Custody
import Glibc

// Where the domain's memory files are, and the process that runs it.
extension DomainOpening {
    /// Where its memory files are.
    func findFolders() throws(BackendError) -> MemoryFolders {
        let folders = try DomainOpening.findFolders(
            of: domain,
            gate,
            else: AdoptedMemory(of: LiveDescription(live)).remark
        )
        if isOwn, !isNew, let memory, !folders.libvirt.hasPrefix(MemoryFolders.canonical(memory) + "/") {
            throw BackendError(
                .unavailable,
                "the domain ‘\(domain.name)’ runs already, with its memory files in ‘\(folders.libvirt)’, and ‘memory’ is "
                    + "‘\(memory)’: libvirt would look for its modules there"
            )
        }
        return folders
    }

    /// Where a domain's memory files are: QEMU itself says.
    ///
    /// - Parameter remark: what its memory is, for an error where it is not in files.
    static func findFolders(
        of domain: ManagedDomain,
        _ gate: any CallGate,
        else remark: String
    ) throws(BackendError) -> MemoryFolders {
        var path: String
        do throws(BackendError) {
            path = try domain.ask("qom-get", ["path": "/objects/ram-node0", "property": "mem-path"], for: String.self)
        } catch {
            // What QEMU says no to it does not have.
            guard error.cause == nil else {
                throw BackendError(.unavailable, "QEMU does not tell where its memory is", cause: error)
            }
            path = ""
        }
        path = MemoryFolders.canonical(path)
        func folders(_ owner: FileOwner) -> MemoryFolders? {
            MemoryFolders(baseMemory: path, domain: domain.name, uuid: domain.uuid, owner: owner)
        }
        guard folders(.current) != nil else {
            throw BackendError(
                .unsupported,
                "the domain's memory is not in files with names, so that no module can be made of a file of ours; "
                    + remark
            )
        }
        let owner: FileOwner
        do throws(HostError) { owner = try FileOwner.of(path, gate) } catch {
            throw BackendError(.unavailable, "this user does not reach the domain's memory files", cause: error)
        }
        guard owner.user == geteuid() || geteuid() == 0, let folders = folders(owner) else {
            throw BackendError(
                .unavailable,
                "QEMU runs as the user \(owner.user): its memory files are for that user and for root"
            )
        }
        return folders
    }

    /// Makes our directories, and locks the domain's: its files and the domain are nobody else's from now on.
    func lock(_ folders: MemoryFolders, patience: Duration) throws(BackendError) -> FolderLock {
        try OwnDirectory(folders.custody, gate: gate)
        return try FolderLock(folders.ours, patience: patience, gate: gate)
    }

    /// The process that runs it: the one that has its base memory mapped and its UUID on the command line.
    func findEmulator(_ folders: MemoryFolders) throws(BackendError) -> Int32 {
        let end = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < end {
            let found = ProcessMaps.processes.first { process in
                (try? domain.isNamed(by: process)) == true
                    && ProcessMaps.text("/proc/\(process)/maps").contains(folders.libvirt + "/ram-node0")
            }
            if let found {
                domain.isRun(by: found)
                return found
            }
            usleep(10_000)
        }
        throw BackendError(
            .unavailable,
            "no process is found that runs the domain and has ‘\(folders.libvirt)/ram-node0’ mapped: only root and the user who "
                + "owns it may look into it"
        )
    }
}

#endif
