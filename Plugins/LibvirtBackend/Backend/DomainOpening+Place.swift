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
        guard let folders = MemoryFolders(baseMemory: path, domain: domain.name) else {
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
        throw BackendError(
            .unavailable,
            "this user may not look into the process that runs the domain: only root and the user who owns it may"
        )
    }

    /// The processes that have a domain's UUID on their command line.
    private static func processes(of domain: ManagedDomain) -> [Int32] {
        ProcessMaps.processes.filter { process in
            ProcessMaps.text("/proc/\(process)/cmdline").split(separator: "\0").contains { $0 == domain.uuid }
        }
    }
}

#endif
