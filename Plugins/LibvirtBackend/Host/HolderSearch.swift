#if Libvirt
import CLibvirtHost
import Glibc

/// Looks for everybody who has a file open or mapped.
///
/// Every task of every process is looked at: one may have a table of descriptors of its own (unshare(2)), and the first one may
/// have ended before the others. Loop devices are looked at, too, and what shows itself as a file of an overlay (overlayfs) with
/// the file's inode number: that may be the file. What cannot be looked into is a holder, unless that is accepted; what has
/// something mounted over it in `/proc` always is.
///
/// A search among those that have come since an earlier one passes the others over: ``ClearedProcesses`` says when that will do.
///
/// Not found is what the kernel does not show: a descriptor on its way through a socket (`SCM_RIGHTS`) or registered with an
/// io_uring(7), a page in a pipe (splice(2)), or pinned for a device.
struct HolderSearch {
    private let descriptor: Int32
    private let device: dev_t
    private let inode: ino_t
    private let identity: ProcessMaps.Identity
    private let isPassedOver: Set<Int32>
    private let list: UInt64
    private let register: ProcessRegister
    private let accepted: Set<UnseenProcesses>
    private let gate: any CallGate
    private let own = getpid()

    /// A search for the holders of a file.
    ///
    /// - Parameters:
    ///   - descriptor: The file, open in this process.
    ///   - identity: What the kernel calls it where it is mapped.
    ///   - isPassedOver: Processes that are left out. Where this one is not, it is found only where it has the file mapped.
    ///   - list: The number of the list whose processes are left out; 0 for nobody.
    ///   - register: The processes of the machine.
    ///   - accepted: Which processes are taken not to have the file although they cannot be looked into.
    init(
        of descriptor: Int32,
        _ identity: ProcessMaps.Identity,
        path: String,
        passingOver isPassedOver: Set<Int32>,
        since list: UInt64 = 0,
        among register: ProcessRegister = ProcessRegister(),
        accepting accepted: Set<UnseenProcesses>,
        gate: any CallGate
    ) throws(HostError) {
        var status = stat()
        try gate.host(.status, path) { unsafe Int(fstat(descriptor, &status)) }
        self.descriptor = descriptor
        device = status.st_dev
        inode = status.st_ino
        self.identity = identity
        self.isPassedOver = isPassedOver
        self.list = list
        self.register = register
        self.accepted = accepted
        self.gate = gate
    }

    /// Looks.
    ///
    /// Processes that come while others are looked at are looked at, too, until there are no new ones: what was forked off
    /// by one that has ended since is seen. Where they come faster than they can be looked at, the next one is taken to have the
    /// file.
    ///
    /// - Returns: the holders, and the number of a list of which everybody has been looked at.
    /// - Throws: `HostError` where the processes cannot be listed.
    /// - Complexity: O(*n*) in the processes of the machine, and in the tasks, mappings and descriptors of those that are not
    ///   passed over.
    func holders() throws(HostError) -> (holders: [FileHolder], list: UInt64) {
        var holders: [FileHolder] = []
        var seen: Set<UInt64> = []
        defer { register.note(HolderSearches(count: 1, complete: list == 0 ? 1 : 0, processes: UInt64(seen.count))) }
        var number = list
        var areAllSeen = false
        for _ in 0..<HolderSearch.longestChase where !areAllSeen {
            let all = try register.list(gate)
            let new = all.entries.filter { entry in
                entry.since > list && !isPassedOver.contains(entry.process) && seen.insert(entry.inode).inserted
            }
            holders += new.compactMap { holder($0.process) }
            (number, areAllSeen) = (all.number, new.isEmpty)
        }
        if !areAllSeen {
            let why = "processes come faster than they can be looked at"
            holders.append(FileHolder(process: nil, command: "a process that has just come", hold: .unseen(why)))
        }
        return (holders + (list == 0 ? try loopDevices() : []), number)
    }

    /// How often new processes, or tasks of one, are looked for.
    private static let longestChase = 64

    // MARK: Processes

    private func holder(_ process: Int32) -> FileHolder? {
        let hold: FileHolder.Hold?
        do throws(HostError) { hold = try self.hold(of: process) } catch {
            hold = isGone(error) || hasNothing(error, process) ? nil : .unseen("\(error)")
        }
        return hold.map { FileHolder(process: process, command: FileHolder.command(of: process), hold: $0) }
    }

    private func hold(of process: Int32) throws(HostError) -> FileHolder.Hold? {
        var (seen, tables): (Set<Int32>, [Int32]) = ([], [])
        var (hasMemory, open): (Bool, FileHolder.Hold?) = (false, nil)
        for _ in 0..<HolderSearch.longestChase {
            let new = try ProcessMaps.numbers(in: "/proc/\(process)/task", .tasks, gate).filter {
                seen.insert($0).inserted
            }
            if new.isEmpty { return open }
            for task in new {
                let folder = "/proc/\(process)/task/\(task)"
                do throws(HostError) {
                    // All tasks of a process have one memory; one that has ended has none.
                    if !hasMemory {
                        let list = try maps(folder)
                        if let hold = try hold(in: list, of: task) { return hold }
                        hasMemory = !list.isEmpty
                    }
                    guard process != own, open == nil, !tables.contains(where: { clibvirt_share_files($0, task) == 1 })
                    else { continue }
                    open = try self.open(folder)
                    tables.append(task)
                } catch {
                    guard isGone(error) || hasEnded(folder) else { throw error }
                }
                if let open, hasMemory { return open }
            }
        }
        throw HostError(call: HostCall.tasks.rawValue, subject: "/proc/\(process)/task", errno: EAGAIN)
    }

    /// The mappings of a task; none where it has no memory, as a task of the kernel's.
    private func maps(_ task: String) throws(HostError) -> [UInt8] {
        do throws(HostError) { return try ProcessMaps.read(task + "/maps", .maps, gate) } catch {
            guard error.errno == ESRCH else { throw error }
            return []
        }
    }

    /// Whether mappings are the file's.
    private func hold(in list: [UInt8], of task: Int32) throws(HostError) -> FileHolder.Hold? {
        let all = ProcessMaps.mappings(in: list, withNumberOf: identity)
        if all.contains(where: { $0.identity == identity }) { return .mapped }
        for mapping in all where mapping.identity.device != identity.device {
            let (low, high) = (mapping.addresses.lowerBound, mapping.addresses.upperBound)
            let (folder, name) = ("/proc/\(task)/map_files", "\(String(low, radix: 16))-\(String(high, radix: 16))")
            let link = folder + "/" + name
            do throws(HostError) {
                let links = try HolderSearch.open(folder, .overlay, gate)
                if let hold = try hold(behind: name, in: links, as: .mapped) { return hold }
            } catch {
                // Only root may follow such a link. To others the mounts of the process say what a device is.
                guard error.errno == EPERM || error.errno == EACCES else { throw error }
                guard let what = try suspicion(against: mapping.identity.device, of: task) else { continue }
                return .unseen("\(link) is of \(what), and has the file's inode number")
            }
        }
        return nil
    }

    /// Whether what a process has by a link of `/proc` is the file behind an overlay; one that is gone is not.
    private func hold(
        behind name: String,
        in folder: borrowing OwnedFile,
        as hold: FileHolder.Hold
    ) throws(HostError) -> FileHolder.Hold? {
        let (link, path) = (folder.path + "/" + name, HolderSearch.path(of: name, in: folder))
        do throws(HostError) {
            let answer = try gate.host(.overlay, link) { unsafe Int(clibvirt_overlay_shows(path, descriptor)) }
            switch Int32(answer) {
            case CLIBVIRT_NOT_SHOWN: return nil
            case CLIBVIRT_SHOWN: return hold
            default: return .unseen("\(link) is of an overlay (overlayfs), and has the file's inode number")
            }
        } catch {
            guard isGone(error) else { throw error }
            return nil
        }
    }

    /// Why what is on a device may be the file, by the mounts of a task (proc_pid_mountinfo(5)); `nil` where it is not: on another
    /// file system that is mounted there, or on that of memory files, which is mounted nowhere.
    private func suspicion(against device: Substring, of task: Int32) throws(HostError) -> String? {
        let numbers = device.split(separator: ":").compactMap { UInt64($0, radix: 16) }
        let name = numbers.map(String.init).joined(separator: ":")
        let mounts = String(decoding: try ProcessMaps.read("/proc/\(task)/mountinfo", .maps, gate), as: UTF8.self)
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 2, fields[2] == name, let dash = fields.firstIndex(of: "-") else { continue }
            return fields.dropFirst(dash + 1).first == "overlay" ? "an overlay (overlayfs)" : nil
        }
        let file = try OwnedFile(.makeMemoryFile, "a device", gate: gate) {
            unsafe clibvirt_memory_file("custody-device")
        }
        guard try ProcessMaps.identity(of: file, gate).device != device else { return nil }
        return "a file system that is mounted nowhere, as an overlay (overlayfs) may be"
    }

    /// How a task has the file open; `nil` where it has not.
    private func open(_ task: String) throws(HostError) -> FileHolder.Hold? {
        let folder = try HolderSearch.open(task + "/fd", .descriptors, gate)
        for name in try ProcessMaps.names(in: folder) {
            let path = HolderSearch.path(of: name, in: folder)
            var status = stat()
            do throws(HostError) {
                try gate.host(.status, "\(folder.path)/\(name)") { unsafe Int(stat(path, &status)) }
            } catch {
                // It has been closed meanwhile.
                guard isGone(error) else { throw error }
                continue
            }
            if status.st_dev == device, status.st_ino == inode { return .open }
            guard status.st_dev != device, clibvirt_has_number(UInt64(status.st_ino), UInt64(inode)) != 0 else {
                continue
            }
            if let hold = try hold(behind: name, in: folder, as: .open) { return hold }
        }
        return nil
    }

    /// A folder of a process's: what is mounted over it later is not what is looked at.
    private static func open(_ path: String, _ call: HostCall, _ gate: any CallGate) throws(HostError) -> OwnedFile {
        try OwnedFile(call, path, gate: gate) { unsafe clibvirt_open_process(path, O_RDONLY | O_DIRECTORY) }
    }

    private static func path(of name: String, in folder: borrowing OwnedFile) -> String {
        "/proc/self/fd/\(folder.rawValue)/\(name)"
    }

    private func isGone(_ error: HostError) -> Bool { error.errno == ENOENT || error.errno == ESRCH }

    /// What the kernel says of a process or a task that does not let itself be looked into.
    private enum Life {
        /// There is none of its number any more.
        case gone
        /// It has ended, and nobody has collected it.
        case ended
        /// It is a thread of the kernel's.
        case kernel
        case other
    }

    /// What the kernel says in the `stat` of a folder of `/proc` (proc_pid_stat(5)).
    private func life(_ folder: String, _ gate: any CallGate) -> Life {
        let line: [UInt8]
        do throws(HostError) { line = try ProcessMaps.read(folder + "/stat", .maps, gate) } catch {
            return isGone(error) ? .gone : .other
        }
        let fields = String(decoding: line, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
        if fields.first == "Z" || fields.first == "X" { return .ended }
        // The ninth field has `PF_KTHREAD` (linux/sched.h), which no program can give itself.
        guard fields.count > 6, let flags = UInt64(fields[6]) else { return .other }
        return flags & 0x20_0000 != 0 ? .kernel : .other
    }

    /// Whether a task has ended: nobody but root may look into one that is only not collected yet.
    private func hasEnded(_ task: String) -> Bool {
        switch life(task, gate) {
        case .gone, .ended: true
        case .kernel, .other: false
        }
    }

    /// Whether a process that did not let itself be looked into has no files and no memory, as a thread of the kernel or one that
    /// has gone since, or is one of those that are accepted. One whose first thread has ended may have both.
    private func hasNothing(_ error: HostError, _ process: Int32) -> Bool {
        guard error.errno == EACCES || error.errno == EPERM else { return false }
        let status = ProcessMaps.text("/proc/\(process)/status").split(separator: "\n")
        switch life("/proc/\(process)", OpenGate()) {
        case .gone, .kernel: return true
        case .ended, .other: break
        }
        guard let user = status.first(where: { $0.hasPrefix("Uid:") })?.split(separator: "\t").dropFirst().first
        else { return false }
        return accepted.contains(user == "\(getuid())" ? .protected : .otherUsers)
    }

    // MARK: The kernel

    /// The loop devices that the file is behind: the kernel has it open for them (loop(4)).
    private func loopDevices() throws(HostError) -> [FileHolder] {
        var holders: [FileHolder] = []
        for name in try ProcessMaps.names(in: "/sys/block", .devices, gate) where name.hasPrefix("loop") {
            // One with nothing behind it has no such folder.
            guard unsafe access("/sys/block/\(name)/loop", F_OK) == 0 else { continue }
            let hold: FileHolder.Hold?
            do throws(HostError) {
                let isBacked = try gate.host(.loop, "/dev/\(name)") {
                    unsafe Int(clibvirt_is_backed_by("/dev/\(name)", device, inode))
                }
                hold = isBacked == 1 ? .open : nil
            } catch {
                // Only root may, and only where the devices of the machine are.
                let kind: UnseenProcesses? =
                    switch error.errno {
                    case EACCES, EPERM: .otherUsers
                    case ENOENT, ENXIO: .pidNamespace
                    default: nil
                    }
                hold = kind.map(accepted.contains) == true ? nil : .unseen("\(error)")
            }
            if let hold { holders.append(FileHolder(process: nil, command: name, hold: hold)) }
        }
        return holders
    }
}

#endif
