#if Libvirt
import Custody
import Glibc

// Where the domain's memory files are, and the process that runs it.
extension DomainOpening {
    /// Where its memory files are: QEMU itself says.
    func findFolders() throws(BackendError) -> MemoryFolders {
        let path: String
        do throws(BackendError) {
            path = try domain.ask("qom-get", ["path": "/objects/ram-node0", "property": "mem-path"], for: String.self)
        } catch {
            // What QEMU says no to it does not have.
            guard error.cause == nil else {
                throw BackendError(.unavailable, "QEMU does not tell where its memory is", cause: error)
            }
            path = ""
        }
        guard MemoryFolders(baseMemory: path, domain: domain.name, owner: .current) != nil else {
            throw BackendError(
                .unsupported,
                "the domain's memory is not in files with names, so that no module can be made of a file of ours: it needs "
                    + "<memoryBacking> with <source type='file'/>, and a NUMA cell; "
                    + AdoptedMemory(of: LiveDescription(live)).remark
            )
        }
        let owner: FileOwner
        do throws(HostError) { owner = try FileOwner.of(path, gate) } catch {
            throw BackendError(.unavailable, "this user does not reach the domain's memory files", cause: error)
        }
        guard owner.user == geteuid() || geteuid() == 0,
            let folders = MemoryFolders(baseMemory: path, domain: domain.name, owner: owner)
        else {
            throw BackendError(
                .unavailable,
                "QEMU runs as the user \(owner.user): its memory files are for that user and for root"
            )
        }
        return folders
    }

    /// Makes our directories.
    func makeOurs(_ folders: MemoryFolders) throws(BackendError) {
        for folder in [folders.custody, folders.ours] { try OwnDirectory(folder, gate: gate) }
    }

    /// The process that runs it: the one that has its base memory mapped and its UUID on the command line.
    func findEmulator(_ folders: MemoryFolders) throws(BackendError) -> Int32 {
        let end = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < end {
            let found = ProcessMaps.processes.first { process in
                domain.isNamed(by: process)
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
            "this user may not look into the process that runs the domain: only root and the user who owns it may"
        )
    }
}

#endif
