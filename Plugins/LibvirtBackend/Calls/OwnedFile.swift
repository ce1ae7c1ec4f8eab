#if Libvirt
import Glibc

/// An open file with one owner: it is closed when the owner is gone.
struct OwnedFile: ~Copyable, Sendable {
    /// The descriptor.
    let rawValue: Int32
    /// The path that it was opened by.
    let path: String

    init(_ path: String, flags: Int32, mode: mode_t = 0, gate: any CallGate) throws(HostError) {
        rawValue = Int32(
            try gate.host(.open, path) { unsafe Int(open(path, flags | O_CLOEXEC, mode)) }
        )
        self.path = path
    }

    deinit { close(rawValue) }
}

#endif
