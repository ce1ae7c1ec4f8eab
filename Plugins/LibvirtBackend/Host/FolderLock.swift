#if Libvirt
import CLibvirtHost
import Custody
import Glibc
import Synchronization

/// The lock on a directory of memory files, and with it on the domain whose files they are: one back end at a time has it
/// (flock(2)). It is gone with the process, whatever ends that.
final class FolderLock: Sendable {
    private let descriptor: Atomic<Int32>

    /// Makes the directory where it is not there, and locks it.
    ///
    /// - Parameter patience: How long another one is waited for. A process that has been killed may have forked one off that has
    ///   its descriptors until it becomes a program.
    /// - Throws: `BackendError` with code `unavailable` where somebody else has it, who is named; with that of `OwnDirectory`.
    init(_ path: String, patience: Duration, gate: any CallGate) throws(BackendError) {
        let deadline = ContinuousClock.now + patience
        while true {
            try OwnDirectory(path, gate: gate)
            do throws(HostError) {
                let number = Int32(
                    try gate.host(.open, path) {
                        unsafe Int(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))
                    }
                )
                do throws(HostError) {
                    try gate.host(.lock, path) { Int(clibvirt_lock(number)) }
                    if try FolderLock.isStill(number, at: path, gate) {
                        descriptor = Atomic(number)
                        return
                    }
                } catch {
                    close(number)
                    throw error
                }
                // Whoever had it before has taken the directory away.
                close(number)
            } catch {
                guard error.errno == EWOULDBLOCK || error.errno == ENOENT else {
                    throw BackendError(.unavailable, "the directory ‘\(path)’ cannot be locked", cause: error)
                }
                guard ContinuousClock.now < deadline else {
                    let holders = FolderLock.holders(of: path)
                    let text =
                        "the domain is in use by another back end\(holders): its memory files in ‘\(path)’ are locked"
                    throw BackendError(.unavailable, text, cause: error)
                }
                usleep(20_000)
            }
        }
    }

    /// Locks a directory that is there, as it is, where nobody has it.
    convenience init(existing path: String, gate: any CallGate) throws(HostError) {
        let number = Int32(
            try gate.host(.open, path) { unsafe Int(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) }
        )
        self.init(adopting: number)
        try gate.host(.lock, path) { Int(clibvirt_lock(number)) }
    }

    private init(adopting number: Int32) { descriptor = Atomic(number) }

    deinit { release() }

    /// Gives it up.
    func release() {
        let number = descriptor.exchange(-1, ordering: .relaxed)
        if number >= 0 { close(number) }
    }

    private static func isStill(_ number: Int32, at path: String, _ gate: any CallGate) throws(HostError) -> Bool {
        var (mine, there) = (stat(), stat())
        try gate.host(.status, path) { unsafe Int(fstat(number, &mine)) }
        try gate.host(.status, path) { unsafe Int(lstat(path, &there)) }
        return mine.st_dev == there.st_dev && mine.st_ino == there.st_ino
    }

    /// The processes that have a directory open, and so may have its lock.
    static func processes(at path: String) -> [Int32] {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return [] }
        return ProcessMaps.processes.filter { process in
            let folder = "/proc/\(process)/fd"
            let numbers = (try? ProcessMaps.numbers(in: folder, .descriptors, OpenGate())) ?? []
            return numbers.contains { number in
                var other = stat()
                return unsafe stat("\(folder)/\(number)", &other) == 0 && other.st_dev == status.st_dev
                    && other.st_ino == status.st_ino
            }
        }
    }

    /// The same in words, for an error.
    private static func holders(of path: String) -> String {
        let names = processes(at: path).map { "\(FileHolder.command(of: $0)) (pid \($0))" }
        return names.isEmpty ? "" : ", of " + names.joined(separator: ", ")
    }
}

#endif
