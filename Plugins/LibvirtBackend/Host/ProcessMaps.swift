#if Libvirt
import CLibvirtHost
import Custody
import Glibc

/// What `/proc/PID/maps` says (proc_pid_maps(5)).
enum ProcessMaps {
    /// A file as that list names it: device and inode. Not always what `stat(2)` says, so it is taken from a mapping.
    struct Identity: Sendable, Hashable, CustomStringConvertible {
        let device: Substring
        let inode: Substring
        var description: String { "inode \(inode) on device \(device)" }
    }

    /// One line of the list.
    struct Mapping: Sendable, Hashable {
        /// Where it is, in bytes.
        let addresses: Range<UInt64>
        /// Whether what is written there reaches the file.
        let isShared: Bool
        /// Where it begins in the file, in bytes.
        let offset: UInt64
        /// What is mapped.
        let identity: Identity
    }

    /// What is mapped at an address of a process; `nil` for nothing.
    static func mapping(at address: UInt64, of process: Int32, _ gate: any CallGate) throws(HostError) -> Mapping? {
        let list = try read("/proc/\(process)/maps", .maps, gate)
        return mappings(in: list).first { $0.addresses.contains(address) }
    }

    /// What the kernel calls a file where it is mapped.
    static func identity(of file: borrowing OwnedFile, _ gate: any CallGate) throws(HostError) -> Identity {
        let (descriptor, length) = (file.rawValue, Int(PageSize.base.bytes))
        var map: UnsafeMutableRawPointer?
        try gate.host(.map, file.path) {
            unsafe map = mmap(nil, length, PROT_NONE, MAP_SHARED, descriptor, 0)
            return unsafe map == MAP_FAILED ? -1 : 0
        }
        defer { unsafe munmap(map, length) }
        let found = try mapping(at: UInt64(UInt(bitPattern: map)), of: getpid(), gate)
        guard let found else { throw HostError(call: HostCall.maps.rawValue, subject: file.path, errno: ENOENT) }
        return found.identity
    }

    /// Whether a process has an argument on its command line; one that is gone has not.
    static func hasArgument(_ argument: String, _ process: Int32) throws(HostError) -> Bool {
        do throws(HostError) {
            let line = try read("/proc/\(process)/cmdline", .maps, OpenGate())
            return String(decoding: line, as: UTF8.self).split(separator: "\0").contains { $0 == argument }
        } catch {
            guard error.errno == ENOENT || error.errno == ESRCH else { throw error }
            return false
        }
    }

    /// Those of a list of mappings that can be a file's by its inode number, on whatever device.
    static func mappings(in list: [UInt8], withNumberOf identity: Identity) -> [Mapping] {
        guard let number = UInt64(identity.inode) else { return mappings(in: list) }
        // Most processes have nothing to do with it: that is seen without taking the list apart.
        let isMentioned = unsafe list.withUnsafeBytes { all in
            unsafe clibvirt_mentions(all.baseAddress, all.count, number) != 0
        }
        guard isMentioned else { return [] }
        return mappings(in: list).filter { mapping in
            UInt64(mapping.identity.inode).map { clibvirt_has_number($0, number) != 0 } ?? false
        }
    }

    /// All of a file under `/proc`; empty where it cannot be read, or its process is gone.
    static func text(_ path: String) -> String {
        String(decoding: (try? read(path, .maps, OpenGate())) ?? [], as: UTF8.self)
    }

    /// All of a file under `/proc`.
    ///
    /// - Throws: `HostError`, with `EXDEV` where something is mounted over part of its path.
    static func read(_ path: String, _ call: HostCall, _ gate: any CallGate) throws(HostError) -> [UInt8] {
        var bytes: [UInt8] = []
        try gate.host(call, path) {
            bytes = []
            let descriptor = unsafe clibvirt_open_process(path, O_RDONLY)
            guard descriptor >= 0 else { return -1 }
            return read(descriptor, &bytes)
        }
        return bytes
    }

    /// All of a file that somebody else may have laid out.
    ///
    /// - Throws: `HostError`, with `EINVAL` for what is no file: nothing is waited for.
    static func read(file path: String, _ gate: any CallGate) throws(HostError) -> [UInt8] {
        var bytes: [UInt8] = []
        try gate.host(.read, path) {
            bytes = []
            let descriptor = unsafe open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
            guard descriptor >= 0 else { return -1 }
            var status = stat()
            guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                close(descriptor)
                errno = EINVAL
                return -1
            }
            return read(descriptor, &bytes)
        }
        return bytes
    }

    /// Reads to the end, and closes it.
    private static func read(_ descriptor: Int32, _ bytes: inout [UInt8]) -> Int {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var count = 0
        repeat {
            unsafe count = Glibc.read(descriptor, &buffer, buffer.count)
            if count > 0 { bytes += buffer[..<count] }
        } while count > 0
        let error = errno
        close(descriptor)
        errno = error
        return count
    }

    /// All processes.
    static var processes: [Int32] { (try? numbers(in: "/proc", .scan, OpenGate())) ?? [] }

    /// The numbers that are names in a folder under `/proc`: processes, tasks or descriptors.
    static func numbers(in path: String, _ call: HostCall, _ gate: any CallGate) throws(HostError) -> [Int32] {
        try names(in: path, call, gate).compactMap { Int32($0) }
    }

    /// The names in a folder, but those that begin with a dot.
    ///
    /// - Throws: `HostError`, for a folder under `/proc` with `EXDEV` where something is mounted over part of its path.
    static func names(in path: String, _ call: HostCall, _ gate: any CallGate) throws(HostError) -> [String] {
        let isOfProcess = path == "/proc" || path.hasPrefix("/proc/")
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        let folder = try OwnedFile(call, path, gate: gate) {
            unsafe isOfProcess ? clibvirt_open_process(path, flags) : open(path, flags)
        }
        return try names(in: folder)
    }

    /// The names in a folder that is open, but those that begin with a dot.
    static func names(in folder: borrowing OwnedFile) throws(HostError) -> [String] {
        let (path, descriptor) = (folder.path, folder.rawValue)
        var names: [String] = []
        // Reading goes on where the copy of a descriptor has got to.
        try OpenGate().host(.files, path) {
            names = []
            let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
            guard let folder = unsafe fdopendir(copy) else { return -1 }
            unsafe rewinddir(folder)
            errno = 0
            while let entry = unsafe readdir(folder) {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                    unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                }
                if !name.hasPrefix(".") { names.append(name) }
                errno = 0
            }
            let error = errno
            unsafe closedir(folder)
            errno = error
            return error == 0 ? 0 : -1
        }
        return names
    }

    static func mappings(in list: [UInt8]) -> [Mapping] {
        String(decoding: list, as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            guard fields.count >= 5, let addresses = numbers(fields[0]), let offset = UInt64(fields[2], radix: 16)
            else { return nil }
            return Mapping(
                addresses: addresses,
                isShared: fields[1].hasSuffix("s"),
                offset: offset,
                identity: Identity(device: fields[3], inode: fields[4])
            )
        }
    }

    private static func numbers(_ field: Substring) -> Range<UInt64>? {
        let parts = field.split(separator: "-")
        guard parts.count == 2, let low = UInt64(parts[0], radix: 16), let high = UInt64(parts[1], radix: 16),
            low < high
        else { return nil }
        return low..<high
    }
}

#endif
