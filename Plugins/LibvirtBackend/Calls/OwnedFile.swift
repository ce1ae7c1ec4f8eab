#if Libvirt
import Glibc

/// An open file with one owner: it is closed when the owner is gone.
struct OwnedFile: ~Copyable, Sendable {
    /// The descriptor.
    let rawValue: Int32
    /// The path that it was opened by, or what it is.
    let path: String

    init(_ path: String, flags: Int32, mode: mode_t = 0, gate: any CallGate) throws(HostError) {
        rawValue = Int32(
            try gate.host(.open, path) { unsafe Int(open(path, flags | O_CLOEXEC, mode)) }
        )
        self.path = path
    }

    /// Opens what has no path.
    init(_ call: HostCall, _ name: String, gate: any CallGate, _ open: () -> Int32) throws(HostError) {
        rawValue = Int32(try gate.host(call, name) { Int(open()) })
        path = name
    }

    deinit { close(rawValue) }
}

#endif
