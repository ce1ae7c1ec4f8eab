#if Libvirt
import Custody
import Glibc

/// Where the memory files of a domain have their names.
struct MemoryFolders: Sendable, Hashable {
    /// Libvirt's: it looks for a module's file there when it is plugged in, and takes the name away when it is gone.
    let libvirt: String
    /// Ours, in the same file system.
    let ours: String

    /// The folders of a domain whose base memory is at `path`: `…/libvirt/qemu/DOMAIN/ram-node0`.
    init?(baseMemory path: String, domain: String) {
        let parts = path.split(separator: "/")
        guard path.hasPrefix("/"), parts.count > 4, parts[parts.count - 4] == "libvirt",
            parts[parts.count - 3] == "qemu"
        else { return nil }
        libvirt = parts.dropLast().reduce(into: "") { $0 += "/" + $1 }
        ours = parts.dropLast(4).reduce(into: "") { $0 += "/" + $1 } + "/custody/" + domain
    }

    /// Libvirt's name of a module's file.
    func name(of module: MemoryModule) -> String { libvirt + "/" + module.alias }

    /// Our name of the file of the module of a number.
    func path(of number: Int) -> String { ours + "/\(number)" }

    /// Takes our folders away, as far as they are empty.
    func removeOurs() {
        unsafe rmdir(ours)
        unsafe rmdir(ours.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 })
    }
}

#endif
