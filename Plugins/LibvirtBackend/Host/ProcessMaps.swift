#if Libvirt
import CLibvirtHost
import Glibc

/// What `/proc/PID/maps` says (proc_pid_maps(5)).
enum ProcessMaps {
    /// A file as that list names it: device and inode. Not always what `stat(2)` says, so it is taken from a mapping.
    struct Identity: Sendable, Hashable {
        let device: Substring
        let inode: Substring
    }

    /// The file that is mapped at an address.
    static func identity(at address: UInt, of process: Int32) -> Identity? {
        for line in lines(of: contents("/proc/\(process)/maps")) {
            guard let range = numbers(line.fields[0]), range.contains(UInt64(address)) else { continue }
            return line.identity
        }
        return nil
    }

    /// Whether a process has part of a file mapped.
    static func isMapped(_ identity: Identity, in process: Int32) -> Bool {
        let bytes = contents("/proc/\(process)/maps")
        // Most processes have nothing to do with it: that is seen without taking the list apart.
        let isMentioned = unsafe bytes.withUnsafeBytes { all in
            unsafe clibvirt_mentions(all.baseAddress, all.count, " \(identity.inode)") != 0
        }
        return isMentioned && lines(of: bytes).contains { $0.identity == identity }
    }

    /// All of a file under `/proc`; empty where it cannot be read, or its process is gone.
    static func text(_ path: String) -> String { String(decoding: contents(path), as: UTF8.self) }

    private static func contents(_ path: String) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }

    /// All processes.
    static var processes: [Int32] { entries("/proc")?.compactMap { Int32($0) } ?? [] }

    /// The names in a folder; `nil` where it cannot be read.
    static func entries(_ path: String) -> [String]? {
        guard let folder = unsafe opendir(path) else { return nil }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    private struct Line {
        let fields: [Substring]
        var identity: Identity { Identity(device: fields[3], inode: fields[4]) }
    }

    private static func lines(of list: [UInt8]) -> [Line] {
        String(decoding: list, as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            return fields.count >= 5 ? Line(fields: fields) : nil
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
