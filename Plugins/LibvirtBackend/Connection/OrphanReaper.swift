#if Libvirt
import CLibvirtHost
import Custody
import Glibc

/// Collects the processes of QEMU that have ended, in a process that gets those without a parent: the first one of a container,
/// or a subreaper.
///
/// Libvirt starts QEMU as a daemon, which has no parent, and waits for its end until somebody has collected it: init does.
/// Where this process is the init, nobody would, and libvirt would wait for 40 seconds each time.
///
/// What this process has forked off itself is left to whoever did, as libvirt does. Such a one is in this process's session, or
/// leads one of its own (setsid(2)); a daemon is in a session that it does not lead.
enum OrphanReaper {
    private static let isRunning = Locked(false)

    /// Begins, once, where this process gets processes without a parent. It goes on for as long as the process lives.
    static func start() {
        isRunning.withLock { isRunning in
            guard !isRunning, clibvirt_gets_orphans() == 1 else { return }
            // Without a thread libvirt is slow, and right.
            isRunning = (try? Thread.start(reap)) != nil
        }
    }

    /// How often is looked: libvirt does every 200 ms.
    private static let shortestPause = Duration.milliseconds(50)
    /// How often, where children have ended that are somebody else's to collect.
    private static let longestPause = Duration.seconds(1)

    private static func reap() {
        var pause = shortestPause
        while true {
            usleep(UInt32(pause / .microseconds(1)))
            guard clibvirt_has_ended_child() == 1 else {
                pause = shortestPause
                continue
            }
            let orphans = ProcessMaps.processes.filter(isEndedOrphan)
            for process in orphans { _ = waitpid(process, nil, WNOHANG) }
            pause = orphans.isEmpty ? min(pause * 2, longestPause) : shortestPause
        }
    }

    /// Whether a process is a daemon of QEMU's that has ended, and is this one's to collect.
    private static func isEndedOrphan(_ process: Int32) -> Bool {
        // `PID (COMMAND) STATE PARENT GROUP SESSION …` (proc_pid_stat(5)).
        let line = ProcessMaps.text("/proc/\(process)/stat")
        guard let start = line.firstIndex(of: "("), let end = line.lastIndex(of: ")") else { return false }
        let fields = line[end...].split(separator: " ").dropFirst()
        let numbers = fields.dropFirst().prefix(3).compactMap { Int32($0) }
        guard fields.first == "Z", line[start..<end].hasPrefix("(qemu-"), numbers.count == 3 else { return false }
        return numbers[0] == getpid() && numbers[2] != getsid(0) && numbers[2] != process
    }
}

#endif
