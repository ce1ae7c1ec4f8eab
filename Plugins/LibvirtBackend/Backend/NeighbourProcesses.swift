#if Libvirt
import CLibvirtHost
public import Custody
import Glibc

/// Real processes that are forked off to map a memory file, and end when they let go of it, or with this process.
final class NeighbourProcesses: Sendable {
    private struct Process {
        let identity: pid_t
        let name: String
        /// The memory file.
        let path: String
        let connection: Int32
        let range: PageRange
    }

    private let processes = Locked<[String: Process]>([:])

    /// The longest name: what the kernel keeps of one.
    static let longestName = 15

    func map(_ range: PageRange, path: String, offset: UInt64, as name: String) throws(BackendError) {
        try processes.withLock { processes throws(BackendError) in
            guard processes[name] == nil else {
                throw BackendError(.invalidArgument, "the process ‘\(name)’ has a mapping already")
            }
            guard name.utf8.count <= NeighbourProcesses.longestName else {
                let text = "‘\(name)’ is too long for a process's name: at most \(NeighbourProcesses.longestName) bytes"
                throw BackendError(.invalidArgument, text)
            }
            var connection: Int32 = -1
            let identity = unsafe clibvirt_neighbour_start(name, &connection)
            guard identity > 0 else {
                let cause = HostError(call: HostCall.neighbour.rawValue, subject: name, errno: errno)
                throw BackendError(.system, "the process ‘\(name)’ cannot be started", cause: cause)
            }
            let process = Process(identity: identity, name: name, path: path, connection: connection, range: range)
            do throws(BackendError) {
                _ = try NeighbourProcesses.tell(
                    process,
                    CLIBVIRT_MAP,
                    offset: offset,
                    length: range.byteCount,
                    Array(path.utf8)
                )
            } catch {
                NeighbourProcesses.end(process)
                throw error
            }
            processes[name] = process
        }
    }

    func read(_ count: Int, from address: GuestPhysicalAddress, as name: String) throws(BackendError) -> [UInt8] {
        let (process, offset) = try find(name, address)
        return try NeighbourProcesses.tell(process, CLIBVIRT_READ, count: count, offset: offset)
    }

    func write(_ bytes: [UInt8], to address: GuestPhysicalAddress, as name: String) throws(BackendError) {
        let (process, offset) = try find(name, address)
        _ = try NeighbourProcesses.tell(process, CLIBVIRT_WRITE, count: bytes.count, offset: offset, bytes)
    }

    func release(as name: String) throws(BackendError) {
        guard let process = processes.withLock({ $0.removeValue(forKey: name) }) else {
            throw BackendError(.invalidArgument, "the process ‘\(name)’ has no mapping")
        }
        NeighbourProcesses.end(process)
    }

    func endAll() {
        let all = processes.withLock { processes in
            defer { processes = [:] }
            return Array(processes.values)
        }
        for process in all { NeighbourProcesses.end(process) }
    }

    private func find(
        _ name: String,
        _ address: GuestPhysicalAddress
    ) throws(BackendError) -> (Process, UInt64) {
        let process = processes.withLock { $0[name] }
        guard let process, address >= process.range.address else {
            throw BackendError(.invalidArgument, "the process ‘\(name)’ has no mapping of \(address)")
        }
        return (process, address.rawValue - process.range.address.rawValue)
    }

    private static func tell(
        _ process: Process,
        _ verb: Int32,
        count: Int = 0,
        offset: UInt64,
        length: UInt64 = 0,
        _ data: [UInt8] = []
    ) throws(BackendError) -> [UInt8] {
        guard (0...Int(CLIBVIRT_DATA)).contains(count), data.count < Int(CLIBVIRT_DATA) else {
            throw BackendError(.invalidArgument, "another process copies from 0 to \(CLIBVIRT_DATA) bytes at a time")
        }
        var order = clibvirt_order()
        order.verb = UInt32(verb)
        order.count = UInt32(count)
        order.offset = offset
        order.length = length
        unsafe withUnsafeMutableBytes(of: &order.data) { unsafe $0.copyBytes(from: data) }
        var answer = clibvirt_answer()
        guard unsafe clibvirt_neighbour_order(process.connection, &order, &answer) == 0 else {
            let text = "the process ‘\(process.name)’ (pid \(process.identity)) has ended"
            throw BackendError(.system, text)
        }
        guard answer.error == 0 else { throw refused(process, verb, answer.error) }
        return unsafe withUnsafeBytes(of: &answer.data) { unsafe Array($0.prefix(Int(answer.count))) }
    }

    /// What the kernel said to a process, in the words of who asked it to try.
    private static func refused(_ process: Process, _ verb: Int32, _ number: Int32) -> BackendError {
        guard verb == CLIBVIRT_MAP else {
            let text = "the process ‘\(process.name)’ has not mapped all of these bytes"
            return BackendError(.invalidArgument, text, range: process.range)
        }
        let isDenied = number == EACCES || number == EPERM
        return BackendError(
            isDenied ? .accessDenied : .system,
            isDenied
                ? "the process ‘\(process.name)’ may not open the memory"
                : "the process ‘\(process.name)’ cannot map the memory",
            range: process.range,
            cause: HostError(call: isDenied ? "open" : "open or mmap", subject: process.path, errno: number)
        )
    }

    private static func end(_ process: Process) {
        close(process.connection)
        var status: Int32 = 0
        while unsafe waitpid(process.identity, &status, 0) == -1, errno == EINTR {}
    }
}

extension LibvirtBackend: Neighbours {
    /// Real processes.
    public var neighbours: (any Neighbours)? { self }

    /// Has a process open the module's file by our name of it, as any process of the same user may try.
    public func map(_ range: PageRange, as name: String) throws(BackendError) {
        guard let module = modules.first(where: { $0.range.contains(range) }) else {
            throw BackendError(.invalidArgument, "the pages are not in one module of memory", range: range)
        }
        try processes.map(range, path: module.file.path, offset: module.offset(of: range), as: name)
    }

    /// Has a process load bytes through its mapping.
    public func read(
        _ count: Int,
        from address: GuestPhysicalAddress,
        as name: String
    ) throws(BackendError) -> [UInt8] {
        try processes.read(count, from: address, as: name)
    }

    /// Has a process store bytes through its mapping.
    public func write(_ bytes: [UInt8], to address: GuestPhysicalAddress, as name: String) throws(BackendError) {
        try processes.write(bytes, to: address, as: name)
    }

    /// Has a process end.
    public func release(as name: String) throws(BackendError) { try processes.release(as: name) }
}

#endif
