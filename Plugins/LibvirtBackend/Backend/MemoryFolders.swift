#if Libvirt
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
    init?(baseMemory path: String, domain: String, owner: FileOwner) {
        var parts = path.split(separator: "/")
        guard path.hasPrefix("/"), parts.popLast() == "ram-node0", parts.count > 1 else { return nil }
        libvirt = MemoryFolders.path(parts)
        parts.removeLast()
        if parts.suffix(2) == ["libvirt", "qemu"] { parts.removeLast(2) }
        custody = MemoryFolders.path(parts) + "/custody"
        ours = custody + "/" + domain
        self.owner = owner
    }

    private static func path(_ parts: [Substring]) -> String { parts.reduce(into: "") { $0 += "/" + $1 } }

    /// Libvirt's name of a module's file.
    func name(of module: MemoryModule) -> String { libvirt + "/" + module.alias }

    /// Takes all names of modules away, and our folders as far as they are empty.
    func remove(_ numbers: some Sequence<Int>, gate: any CallGate) {
        for number in numbers {
            let names = [path(of: number), path(of: number) + ".record", libvirt + "/" + MemoryModule.alias(number)]
            // One that cannot be taken away is no reason to leave the others.
            for name in names { try? gate.remove(name) }
        }
        unsafe rmdir(ours)
        unsafe rmdir(custody)
    }

    /// Takes the names of those modules away that the guest has not; of all where it has ended, of none where nobody can tell.
    func removeUnplugged(_ numbers: some Sequence<Int>, of domain: ManagedDomain, gate: any CallGate) {
        let live: XMLElement?
        do throws(BackendError) { live = try domain.describe() } catch {
            guard error.code == .lost, (error.cause as? VirError).map({ $0.code == .noDomain }) ?? true else { return }
            live = nil
        }
        remove(numbers.filter { live?.memoryModule(MemoryModule.alias($0)) == nil }, gate: gate)
    }

    /// Our name of the file of the module of a number.
    func path(of number: Int) -> String { ours + "/\(number)" }
}

#endif
