#if Libvirt
import Glibc

/// The user and the group that a file belongs to.
struct FileOwner: Sendable, Hashable {
    /// The user.
    let user: uid_t
    /// The group.
    let group: gid_t

    /// Who made the files of this process.
    static var current: FileOwner { FileOwner(user: geteuid(), group: getegid()) }

    /// Whom the file of a name belongs to.
    static func of(_ path: String, _ gate: any CallGate) throws(HostError) -> FileOwner {
        var status = stat()
        try gate.host(.status, path) { unsafe Int(lstat(path, &status)) }
        return FileOwner(user: status.st_uid, group: status.st_gid)
    }
}

#endif
