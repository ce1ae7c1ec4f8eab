#if Libvirt
import Glibc

/// Who has a root of libvirt's driver: libvirt locks a file there for as long as a process has the driver
/// (`run/qemu/driver.pid`, fcntl(2)).
///
/// The lock is looked up in the kernel's list (`/proc/locks`). To open the file and close it again would release it where this
/// process is the one that has it.
enum RootLock {
    /// The other process that has a root, in words; `nil` for none.
    static func holder(of root: String, _ gate: any CallGate) throws(HostError) -> String? {
        let path = root + "/run/qemu/driver.pid"
        var status = stat()
        do throws(HostError) {
            try gate.host(.status, path) { unsafe Int(stat(path, &status)) }
        } catch {
            guard error.errno == ENOENT || error.errno == ENOTDIR else { throw error }
            return nil
        }
        let locks = String(decoding: try ProcessMaps.read("/proc/locks", .read, gate), as: UTF8.self)
        guard let process = process(holding: status.st_dev, status.st_ino, in: locks), process != getpid() else {
            return nil
        }
        // The kernel has no number for a process of a namespace that is not below this one.
        guard process > 0 else { return "a process that cannot be seen from here" }
        return "\(FileHolder.command(of: process)) (pid \(process))"
    }

    /// The process that a list of locks says has locked a file; zero or less for one without a number here.
    static func process(holding device: dev_t, _ inode: ino_t, in locks: String) -> Int32? {
        // As makedev(3) puts the two together.
        let major = device >> 8 & 0xFFF | device >> 32 & 0xFFFF_F000
        let minor = device & 0xFF | device >> 12 & 0xFFFF_FF00
        func digits(_ number: dev_t) -> String { (number < 16 ? "0" : "") + String(number, radix: 16) }
        let file = "\(digits(major)):\(digits(minor)):\(inode)"
        for line in locks.split(separator: "\n") {
            // `1: POSIX  ADVISORY  WRITE 4711 00:1b:1234 0 0`; whoever waits for a lock has an arrow.
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "POSIX", words[3] == "WRITE", words[5] == file else { continue }
            return Int32(words[4])
        }
        return nil
    }
}

#endif
