#if Libvirt
import CLibvirtHost
import Custody
import Glibc

/// Where the memory files of a domain have their names, and whose they are.
struct MemoryFolders: Sendable, Hashable {
    /// Libvirt's: it looks for a module's file there when it is plugged in, and takes the name away when it is gone.
    let libvirt: String
    /// Where there is one of ours for each domain, in the same file system.
    let custody: String
    /// Ours.
    let ours: String
    /// The user that QEMU runs as: the one that its base memory belongs to.
    let owner: FileOwner

    /// The folders of a domain whose base memory is at `path`, `…/DOMAIN/ram-node0`, and belongs to `owner`.
    ///
    /// Where libvirt was told of a directory for all memory files it has its own below, `libvirt/qemu`, and ours is beside
    /// that; else ours is beside the domain's. Libvirt's names begin with a number: none of them is ours.
    ///
    /// Ours has the domain's UUID in its name: another domain may have the same name, with a driver of another directory.
    init?(baseMemory path: String, domain: String, uuid: String, owner: FileOwner) {
        var parts = path.split(separator: "/")
        guard path.hasPrefix("/"), parts.popLast() == "ram-node0", parts.count > 1 else { return nil }
        libvirt = MemoryFolders.path(parts)
        parts.removeLast()
        if parts.suffix(2) == ["libvirt", "qemu"] { parts.removeLast(2) }
        custody = MemoryFolders.path(parts) + "/custody"
        // A name has at most 255 bytes (NAME_MAX), and a character four.
        ours = custody + "/" + String(domain.unicodeScalars.prefix(48)) + "-" + uuid
        self.owner = owner
    }

    /// A path without links, as the kernel names a file in a list of mappings; as it is where there is no such file.
    static func canonical(_ path: String) -> String {
        guard let resolved = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    /// Sees that files of memory can be here as they have to be.
    ///
    /// - Throws: `BackendError` with code `unsupported` for a hugetlbfs, and for a file system that is not in memory, unless that is
    ///   accepted; with `unavailable` where it cannot be found out.
    static func checkFileSystem(
        of folder: String,
        acceptingDisk acceptsDisk: Bool,
        gate: any CallGate = OpenGate()
    ) throws(BackendError) {
        let kind: Int
        do throws(HostError) {
            kind = try gate.host(.fileSystem, folder) { unsafe Int(clibvirt_file_system(folder)) }
        } catch {
            throw BackendError(.unavailable, "what file system ‘\(folder)’ is on cannot be found out", cause: error)
        }
        switch Int32(kind) {
        case CLIBVIRT_HUGE_PAGES:
            throw BackendError(
                .unsupported,
                "‘\(folder)’ is on a hugetlbfs, whose files are cut and protected by the huge page alone: no page of 4 KiB could "
                    + "be private there. Memory in huge pages is had on a tmpfs that is mounted with huge=always"
            )
        case CLIBVIRT_ON_DISK where !acceptsDisk:
            throw BackendError(
                .unsupported,
                "‘\(folder)’ is not on a file system in memory (tmpfs): the kernel would write the guest's memory to a disk, private "
                    + "pages among it. Name a directory on one (‘memory’; memory_backing_dir in the qemu.conf of a daemon or of "
                    + "yours), or have it so with ‘accept-disk: true’"
            )
        default: break
        }
    }

    private static func path(_ parts: [Substring]) -> String { parts.reduce(into: "") { $0 += "/" + $1 } }

    /// Libvirt's name of a module's file.
    func name(of module: MemoryModule) -> String { name(of: module.alias) }

    private func name(of alias: String) -> String { libvirt + "/" + alias }

    /// Our name of the file of the module of a number.
    func path(of number: Int) -> String { ours + "/\(number)" }

    /// Libvirt's name of the file of the module of a number.
    func libvirtPath(of number: Int) -> String { name(of: MemoryModule.alias(number)) }

    /// Takes all names of modules away, however many there have been, and our folders as far as they are empty. Who has the lock
    /// on them may, and has nothing to lock afterwards.
    func remove(gate: any CallGate) {
        removeFiles(except: { _ in false }, gate: gate)
        removeFolders()
    }

    private func names(_ gate: any CallGate) throws(HostError) -> [String] {
        try ProcessMaps.names(in: ours, .files, gate)
    }

    private func removeFolders() {
        unsafe rmdir(ours)
        unsafe rmdir(custody)
    }

    /// Takes all names of modules away but those that are kept.
    func removeFiles(except kept: (Int) -> Bool, gate: any CallGate) {
        // A look that fails once is no reason to leave what nobody looks for any more.
        let files = (try? names(gate)) ?? (try? names(gate)) ?? []
        for file in files {
            guard let number = Int(file.prefix { $0 != "." }), !kept(number) else { continue }
            // One that cannot be taken away is no reason to leave the others.
            for name in [ours + "/" + file, libvirtPath(of: number)] {
                // Nor is one that cannot be taken away once.
                do throws(HostError) { try gate.remove(name) } catch { try? gate.remove(name) }
            }
        }
    }

    /// Takes the names of those modules away that the guest has not; of all where it has ended, of none where nobody can tell.
    func removeUnplugged(of domain: ManagedDomain, gate: any CallGate) {
        guard let isPlugged = plugged(into: domain) else { return }
        removeFiles(except: isPlugged, gate: gate)
        removeFolders()
    }

    /// Takes the names away that nobody needs when a domain goes on without a back end. Of the modules that the guest has
    /// libvirt's names stay, which go when it lets them go, or ends; and the record of those that it has been asked for.
    func leave(_ domain: ManagedDomain, asked: Set<Int>, gate: any CallGate) {
        guard let isPlugged = plugged(into: domain) else { return }
        let numbers = Set(((try? ProcessMaps.names(in: ours, .files, gate)) ?? []).compactMap { Int($0) })
        // Where libvirt's name is gone ours is the only one.
        for number in numbers where isPlugged(number) {
            guard unsafe access(libvirtPath(of: number), F_OK) == 0 else { continue }
            try? gate.remove(path(of: number))
            if !asked.contains(number) { try? gate.remove(path(of: number) + ".record") }
        }
        removeUnplugged(of: domain, gate: gate)
    }

    /// Whether the guest has the module of a number; `nil` where nobody can tell.
    private func plugged(into domain: ManagedDomain) -> ((Int) -> Bool)? {
        do throws(BackendError) {
            let live = try domain.describe()
            return { live.memoryModule(MemoryModule.alias($0)) != nil }
        } catch {
            let hasEnded = error.code == .lost && (error.cause as? VirError).map { $0.code == .noDomain } ?? true
            return hasEnded ? { _ in false } : nil
        }
    }

    /// Takes away what other domains have left beside ours: directories that no back end has locked, and whose files nobody
    /// has, by the kernel's word. What cannot be looked at stays.
    func removeLeftovers(gate: any CallGate) {
        for name in (try? ProcessMaps.names(in: custody, .files, gate)) ?? [] where custody + "/" + name != ours {
            _ = try? MemoryDirectory(path: custody + "/" + name, owner: .custody, gate: gate).removeIfLeftover()
        }
    }
}

#endif
