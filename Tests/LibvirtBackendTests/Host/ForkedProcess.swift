#if Libvirt
import Glibc
import Synchronization
import SystemPackage

/// A process that is forked off and does not become a program: it has a copy of one descriptor, and what mappings are copied.
final class ForkedProcess: Sendable {
    /// Its number.
    let identity: pid_t
    private let end = Atomic<Int32>(-1)

    /// Forks.
    ///
    /// - Throws: `Errno` where there is no process to be had.
    init(keeping descriptor: Int32) throws(Errno) {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { throw Errno(rawValue: errno) }
        let (input, output) = (ends[0], ends[1])
        _ = fcntl(output, F_SETFD, FD_CLOEXEC)
        // Swift does not offer it, because a copy of one of many threads is no process for Swift: it makes system calls, and
        // nothing else.
        let fork = unsafe unsafeBitCast(dlsym(nil, "fork"), to: (@convention(c) () -> pid_t).self)
        identity = fork()
        if identity == 0 {
            var byte: UInt8 = 0
            dup2(input, 0)
            // What other tests wait for the end of.
            var other: Int32 = 1
            while other < 4096 {
                if other != descriptor { close(other) }
                other += 1
            }
            _ = unsafe read(0, &byte, 1)
            _exit(0)
        }
        guard identity > 0 else {
            let error = Errno(rawValue: errno)
            close(input)
            close(output)
            throw error
        }
        close(input)
        end.store(output, ordering: .relaxed)
    }

    deinit { finish() }

    /// Ends it.
    func finish() {
        let output = end.exchange(-1, ordering: .relaxed)
        guard output >= 0 else { return }
        close(output)
        var status: Int32 = 0
        while unsafe waitpid(identity, &status, 0) == -1, errno == EINTR {}
    }
}
#endif
