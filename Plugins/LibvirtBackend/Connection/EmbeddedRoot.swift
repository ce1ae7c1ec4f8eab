#if Libvirt
import CLibvirt
package import Custody
import Foundation
import Glibc

/// The directory of a QEMU driver that runs inside this process: its configuration, its sockets, what it knows of its
/// domains, and the memory files of their guests.
///
/// Domains live on when the process ends, and the next one that opens the same directory finds them. A process can open
/// one such directory, and a directory has one process at a time; the second is refused.
package struct EmbeddedRoot: Sendable, Hashable {
    /// The directory.
    package let path: String
    /// Where the memory files are: a file system in memory, or one that the guest may use as such.
    package let memory: String
    /// Whether somebody has named the directory of the memory files.
    private let isMemoryNamed: Bool

    /// A directory; by default the memory files are below it.
    package init(_ path: String, memory: String? = nil) {
        self.path = path
        self.memory = memory ?? path + "/memory"
        isMemoryNamed = memory != nil
    }

    /// The directory that a configuration names.
    init(of options: LibvirtOptions) {
        path = options.root
        memory = options.memory ?? LibvirtOptions.defaultMemory
        isMemoryNamed = options.memory != nil
    }

    /// The URI that opens it.
    package var uri: String { "qemu:///embed?root=" + EmbeddedRoot.escaped(path) }

    /// The longest path: libvirt's sockets are below it, and the address of one has room for 107 bytes
    /// (`sockaddr_un`, unix(7)).
    package static let longestPath = 50

    /// Makes the directories, and the driver's configuration, unless there is one that was not written here.
    ///
    /// As root, libvirt wants the user of its distribution's packages to be there, although nothing runs as that user.
    ///
    /// - Throws: `BackendError` with code `unavailable` where that is not so, a directory cannot be made, or another process has
    ///   the directory, who is named; nothing has been written then. With `invalidArgument` where the configuration is the user's,
    ///   and names another directory of memory files than this.
    package func prepare(gate: any CallGate = OpenGate()) throws(BackendError) {
        guard path.hasPrefix("/"), path.utf8.count <= EmbeddedRoot.longestPath else {
            throw BackendError(
                .invalidArgument,
                "the root ‘\(path)’ must be an absolute path of at most \(EmbeddedRoot.longestPath) bytes"
            )
        }
        for path in [path, memory] {
            if let flaw = EmbeddedRoot.flaw(in: path) {
                throw BackendError(.invalidArgument, "the path ‘\(path)’ \(flaw)")
            }
        }
        if let obstacle = EmbeddedRoot.obstacle() { throw obstacle }
        let other: String?
        do throws(HostError) { other = try RootLock.holder(of: path, gate) } catch {
            throw BackendError(.unavailable, "who has the root ‘\(path)’ cannot be found out", cause: error)
        }
        if let other {
            let text = "the root ‘\(path)’ is in use by \(other): a root has one process at a time, for all its domains"
            throw BackendError(.unavailable, text)
        }
        // The configuration names programs that are run.
        for folder in [path, path + "/etc"] { try OwnDirectory(folder, gate: gate) }
        let configuration = path + "/etc/qemu.conf"
        do throws(HostError) {
            if try isOurs(configuration, gate) { try gate.replace(configuration, with: settings) }
        } catch {
            throw BackendError(.unavailable, "the root of libvirt's driver cannot be made", cause: error)
        }
        let used = memoryInUse
        guard !isMemoryNamed || used == memory else {
            throw BackendError(
                .invalidArgument,
                "‘memory’ is ‘\(memory)’, and the memory files are in ‘\(used)’ by ‘\(configuration)’, which is the user's own and "
                    + "stays as it is: write memory_backing_dir = \"\(memory)\" there, or leave ‘memory’ out"
            )
        }
        try OwnDirectory(used, gate: gate)
        for part in ["/libvirt", "/libvirt/qemu"] { try EmbeddedRoot.checkIsNoLink(used + part) }
    }

    /// Sees that what libvirt is about to make is not there as something else.
    ///
    /// - Throws: `BackendError` with code `accessDenied`.
    private static func checkIsNoLink(_ path: String) throws(BackendError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else { return }
        throw BackendError(
            .accessDenied,
            "‘\(path)’ is no directory: the guest's memory would be behind it. Take it away, or name another ‘memory’"
        )
    }

    /// Why libvirt's driver cannot keep what it keeps for each user; `nil` where it can. As root that is not in a home.
    static func obstacleToState(
        of user: uid_t = geteuid(),
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> BackendError? {
        guard user != 0 else { return nil }
        let home = environment["XDG_CACHE_HOME"] ?? environment["HOME"].map { $0 + "/.cache" }
        guard let home, home.hasPrefix("/") else { return nil }
        var there = home[...]
        while unsafe access(String(there), F_OK) != 0, let slash = there.lastIndex(of: "/"), slash > there.startIndex {
            there = there[..<slash]
        }
        guard unsafe access(String(there), W_OK) != 0 else { return nil }
        return BackendError(
            .unavailable,
            "libvirt's driver keeps the state of a user's domains in ‘\(home)/libvirt’, and this user may not write there: set HOME, "
                + "or XDG_CACHE_HOME, to a directory of the user's"
        )
    }

    /// Whether there is no file of this name, or one that was written here: one of the user's stays as it is.
    private func isOurs(_ path: String, _ gate: any CallGate) throws(HostError) -> Bool {
        do throws(HostError) {
            return String(decoding: try ProcessMaps.read(file: path, gate), as: UTF8.self).hasPrefix(EmbeddedRoot.mark)
        } catch {
            guard error.errno == ENOENT else { throw error }
            return true
        }
    }

    /// Where the memory files are: a configuration of the user's may name another directory.
    var memoryInUse: String {
        // Libvirt's own, where a configuration names none (virQEMUDriverConfigNew).
        do throws(HostError) { return try EmbeddedRoot.memoryDirectory(namedIn: path) ?? path + "/lib/qemu/ram" } catch
        {
            return memory
        }
    }

    /// The directory of memory files that the configuration in a root names; `nil` where it names none.
    ///
    /// - Throws: `HostError` where there is no configuration that can be read.
    static func memoryDirectory(namedIn root: String) throws(HostError) -> String? {
        let path = root + "/etc/qemu.conf"
        let text = String(decoding: try ProcessMaps.read(file: path, OpenGate()), as: UTF8.self)
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1).map { $0.filter { !$0.isWhitespace } }
            guard parts.count == 2, parts[0] == "memory_backing_dir" else { continue }
            return String(line.drop { $0 != "\"" }.dropFirst().prefix { $0 != "\"" })
        }
        return nil
    }

    /// The first line of a configuration that was written here.
    private static let mark =
        "# Written by Custody at each start. Without this line the file is yours, and stays as it is.\n"

    /// What keeps a path out of the driver's configuration, whose texts know no escape; `nil` for nothing.
    static func flaw(in path: String) -> String? {
        if !path.hasPrefix("/") { return "must be absolute" }
        let isFit = path.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "\"") }
        return isFit ? nil : "must have no quotation marks and no control characters"
    }

    /// Why no such driver can be had by this user; `nil` where one can. As root it wants a user to be there.
    static func obstacle(user: String = "libvirt-qemu") -> BackendError? {
        guard geteuid() == 0, unsafe getpwnam(user) == nil else { return nil }
        return BackendError(
            .unavailable,
            "libvirt as root needs the user ‘\(user)’: "
                + "useradd --system --no-create-home --user-group --shell /usr/sbin/nologin \(user)"
        )
    }

    /// What the driver reads: QEMU runs as this user, with nothing around it that needs a daemon or root.
    private var settings: String {
        let user = geteuid() == 0 ? "user = \"root\"\ngroup = \"root\"\n" : ""
        return EmbeddedRoot.mark + user + """
            security_driver = "none"
            stdio_handler = "file"
            namespaces = []
            cgroup_controllers = []
            remember_owner = 0
            dynamic_ownership = 0
            memory_backing_dir = "\(memory)"

            """
    }

    /// The path as part of a URI's query.
    private static func escaped(_ path: String) -> String {
        path.utf8.reduce(into: "") { text, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                text.append(Character(UnicodeScalar(byte)))
            default:
                text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
    }
}

#endif
