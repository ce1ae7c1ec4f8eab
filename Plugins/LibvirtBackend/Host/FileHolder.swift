#if Libvirt
import Custody
import Glibc

/// A process that has a file open or mapped, as `/proc` shows it.
struct FileHolder: Sendable, Hashable {
    /// The process.
    let process: Int32
    /// What it calls itself: `/proc/PID/comm`.
    let command: String
    /// Whether it has part of the file mapped. A mapping can be grown over the rest (mremap(2)) without an open: whoever has
    /// one reaches all of the file.
    let isMapped: Bool

    /// The processes that have a file open or mapped. This one has it open, and is among them where it has it mapped, too,
    /// and is not excepted.
    ///
    /// Processes that come while others are looked at are looked at, too, until there are no new ones: what was forked off
    /// by one that has ended since is seen. A process that this user may not look into is not; as root all are. A descriptor
    /// on its way through a socket belongs to no process.
    ///
    /// - Parameters:
    ///   - descriptor: The file, open in this process.
    ///   - identity: What the kernel calls it where it is mapped.
    /// - Throws: `HostError`, with `EAGAIN` where processes come faster than they can be looked at.
    /// - Complexity: O(*n*) in the processes of the machine, and their mappings and descriptors.
    static func all(
        of descriptor: Int32,
        _ identity: ProcessMaps.Identity?,
        path: String,
        exceptsOwn: Bool,
        gate: any CallGate
    ) throws(HostError) -> [FileHolder] {
        guard let identity else {
            throw HostError(call: HostCall.scan.rawValue, subject: "/proc/self/maps", errno: ENOENT)
        }
        let own = getpid()
        var status = stat()
        try gate.host(.status, path) { unsafe Int(fstat(descriptor, &status)) }
        var holders: [FileHolder] = []
        var seen: Set<Int32> = exceptsOwn ? [own] : []
        for _ in 0..<longestChase {
            let new = try processes(gate).filter { seen.insert($0).inserted }
            if new.isEmpty { return holders }
            for process in new {
                let isMapped = ProcessMaps.isMapped(identity, in: process)
                guard isMapped || process != own && hasOpen(status, process) else { continue }
                holders.append(FileHolder(process: process, command: command(of: process), isMapped: isMapped))
            }
        }
        throw HostError(call: HostCall.scan.rawValue, subject: "/proc", errno: EAGAIN)
    }

    /// How often new processes are looked for.
    private static let longestChase = 64

    /// The name that a process calls itself.
    static func command(of process: Int32) -> String {
        let name = ProcessMaps.text("/proc/\(process)/comm").split(separator: "\n").first.map(String.init)
        return name ?? "process \(process)"
    }

    private static func processes(_ gate: any CallGate) throws(HostError) -> [Int32] {
        var names: [Int32] = []
        try gate.host(.scan, "/proc") {
            guard let found = ProcessMaps.entries("/proc") else { return -1 }
            names = found.compactMap { Int32($0) }
            return 0
        }
        return names
    }

    private static func hasOpen(_ file: stat, _ process: Int32) -> Bool {
        let folder = "/proc/\(process)/fd"
        guard let names = ProcessMaps.entries(folder) else { return false }
        return names.contains { name in
            var status = stat()
            return unsafe stat("\(folder)/\(name)", &status) == 0 && status.st_dev == file.st_dev
                && status.st_ino == file.st_ino
        }
    }
}

#endif
