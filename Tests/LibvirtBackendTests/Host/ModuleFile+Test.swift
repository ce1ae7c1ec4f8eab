#if Libvirt
import Glibc

@testable import LibvirtBackend

extension ModuleFile {
    /// Takes our names away.
    func remove() { for name in [path, path + ".record"] { unsafe _ = unlink(name) } }
}

#endif
