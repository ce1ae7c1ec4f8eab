#if Libvirt
import CLibvirtHost
import Glibc

/// Processes that this one cannot look into, so that they may have a guest's memory and nobody knows.
public enum UnseenProcesses: String, Sendable, Hashable, CaseIterable {
    /// Those of other users, without `CAP_SYS_PTRACE` in the first user namespace (user_namespaces(7)).
    case otherUsers = "other-users"
    /// Those outside of this process's own PID namespace (pid_namespaces(7)).
    case pidNamespace = "pid-namespace"
    /// Those that `/proc` does not list: it is mounted with `hidepid` (proc(5)).
    case hidden = "hidepid"
    /// Those of this user that may not be traced (`PR_SET_DUMPABLE`, prctl(2)), such as an agent with keys. There may be some
    /// at any time: each that there is holds a page up until it ends.
    case `protected`

    /// The kinds that there are here for certain.
    static func here(_ gate: any CallGate) throws(HostError) -> Set<UnseenProcesses> {
        func text(_ path: String) throws(HostError) -> String {
            String(decoding: try ProcessMaps.read(path, .maps, gate), as: UTF8.self)
        }
        var buffer = [CChar](repeating: 0, count: 64)
        try gate.host(.namespace, "/proc/self/ns/pid") {
            unsafe readlink("/proc/self/ns/pid", &buffer, buffer.count - 1)
        }
        let namespace = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return all(
            status: try text("/proc/self/status"),
            users: try text("/proc/self/uid_map"),
            namespace: namespace,
            mounts: try text("/proc/self/mountinfo")
        )
    }

    /// The processes that there are now and that cannot be looked into, beside those of kinds that are accepted: each holds pages
    /// up that are to be private. No more are found than a search for a file's holders finds.
    static func standingInTheWay(
        accepting accepted: Set<UnseenProcesses>,
        _ gate: any CallGate
    ) throws(HostError) -> [FileHolder] {
        let file = try OwnedFile(.makeMemoryFile, "probe", gate: gate) { unsafe clibvirt_memory_file("custody-probe") }
        let identity = try ProcessMaps.identity(of: file, gate)
        let search = try HolderSearch(
            of: file.rawValue,
            identity,
            path: file.path,
            passingOver: [getpid()],
            accepting: accepted,
            gate: gate
        )
        return try search.holders().holders.filter { $0.obstacle != nil }
    }

    /// The kinds that there are by what the kernel says of a process: `status`, `uid_map`, `ns/pid` and `mountinfo` of its
    /// directory under `/proc`.
    static func all(status: String, users: String, namespace: String, mounts: String) -> Set<UnseenProcesses> {
        var kinds: Set<UnseenProcesses> = []
        let effective = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }?.split(separator: "\t").last
        let capabilities = effective.flatMap { UInt64($0, radix: 16) } ?? 0
        let isFirstOfUsers = users.split(whereSeparator: { $0 == " " || $0 == "\n" }) == ["0", "0", "4294967295"]
        let mayTrace = capabilities >> mayTraceAny & 1 == 1 && isFirstOfUsers
        if !mayTrace { kinds.insert(.otherUsers) }
        if namespace != firstOfProcesses { kinds.insert(.pidNamespace) }
        // The last mount at a place is the one that is seen. What follows the dash is the file system's type, source and options.
        let proc = mounts.split(separator: "\n").map { $0.split(separator: " ") }.last {
            $0.count > 4 && $0[4] == "/proc"
        }
        let options = proc?.last?.split(separator: ",") ?? []
        let isHiding = options.contains { option in
            option.hasPrefix("hidepid=") && !["hidepid=0", "hidepid=off"].contains(option)
        }
        if isHiding, !mayTrace { kinds.insert(.hidden) }
        return kinds
    }

    /// `CAP_SYS_PTRACE` (linux/capability.h).
    private static let mayTraceAny: UInt64 = 19
    /// The first PID namespace has a number of its own (linux/nsfs.h, `PID_NS_INIT_INO`).
    private static let firstOfProcesses = "pid:[4026531836]"
}

extension UnseenProcesses: CustomStringConvertible {
    /// Who they are.
    public var description: String {
        switch self {
        case .otherUsers: "the processes of other users"
        case .pidNamespace: "the processes outside of this PID namespace"
        case .hidden: "the processes that /proc hides (hidepid)"
        case .protected: "the processes of this user that may not be traced"
        }
    }
}

#endif
