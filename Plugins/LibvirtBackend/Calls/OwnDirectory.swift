#if Libvirt
import Custody
import Glibc

/// A directory of this user's, which may have been there before.
struct OwnDirectory: Sendable {
    private let path: String
    private let mode: mode_t
    private let gate: any CallGate

    /// Makes a directory, and those above it where they are not there.
    ///
    /// One that is there is taken only where nobody else can have laid it out: where it is a directory and no symbolic link,
    /// belongs to this user, and no other may write to it. Then what is in it is this user's, too.
    ///
    /// - Parameters:
    ///   - path: An absolute path.
    ///   - mode: Who may enter it: its owner, or whoever knows a name in it, too, as QEMU as another user has to (`0o711`).
    ///     What one that is there lacks of it is added.
    /// - Throws: `BackendError` with code `accessDenied` for a directory that is not to be trusted, and what to do about it;
    ///   with `unavailable` for one that cannot be made.
    @discardableResult
    init(_ path: String, mode: mode_t = 0o700, gate: any CallGate) throws(BackendError) {
        self.path = path
        self.mode = mode
        self.gate = gate
        var status = stat()
        do throws(HostError) {
            status = try makeAndOpen()
        } catch {
            // What open(2) says of a symbolic link, and of what is none and no directory.
            guard error.errno != ELOOP, error.errno != ENOTDIR else { throw distrust("is no directory", error) }
            throw BackendError(.unavailable, "the directory ‘\(path)’ cannot be made", cause: error)
        }
        guard status.st_uid == geteuid() else { throw distrust("belongs to the user \(status.st_uid)") }
        guard status.st_mode & 0o022 == 0 else { throw distrust("can be written to by others") }
    }

    /// Makes it and looks at it, again where somebody takes an empty directory of the path away meanwhile, as the end of the
    /// last guest does in a directory that is for several.
    private func makeAndOpen() throws(HostError) -> stat {
        for _ in 1..<OwnDirectory.attempts {
            do throws(HostError) {
                try make()
                return try open()
            } catch {
                guard error.errno == ENOENT else { throw error }
            }
        }
        try make()
        return try open()
    }

    private static let attempts = 100

    /// Makes what is not there.
    private func make() throws(HostError) {
        var above = ""
        for part in path.split(separator: "/") {
            above += "/" + part
            let name = above
            guard unsafe access(name, F_OK) != 0 else { continue }
            do throws(HostError) {
                try gate.host(.mkdir, name) { unsafe Int(mkdir(name, mode)) }
            } catch {
                guard error.errno == EEXIST else { throw error }
            }
        }
    }

    /// What it is, by a descriptor: nobody can put another one in its place meanwhile.
    private func open() throws(HostError) -> stat {
        let directory = try OwnedFile(path, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, gate: gate)
        var status = stat()
        try gate.host(.status, path) { unsafe Int(fstat(directory.rawValue, &status)) }
        let found = status.st_mode & 0o777
        if status.st_uid == geteuid(), found & mode != mode {
            try gate.host(.mode, path) { Int(fchmod(directory.rawValue, found | mode)) }
        }
        return status
    }

    private func distrust(_ reason: String, _ cause: HostError? = nil) -> BackendError {
        BackendError(
            .accessDenied,
            "‘\(path)’ \(reason): it must be a directory of the user \(geteuid()) that no other may write to, because what "
                + "is in it is trusted; take it away, or name another one",
            cause: cause
        )
    }
}

#endif
