#if Libvirt
import CHolders
import Glibc
import Synchronization
import SystemPackage

/// A process that has a file in a way that is not seen at the first look; it ends with its owner.
final class HolderProcess: Sendable {
    enum Kind: Int32, Sendable, CaseIterable {
        /// Its first thread has ended, and another one has the file mapped.
        case endedLeader = 1
        /// A thread has a table of descriptors of its own, and the first one has the file not open.
        case ownTable
        /// It may not be traced, and has the file open.
        case protected
        /// It has ended, and nobody has collected it.
        case zombie
        /// It has the file mapped by an overlay that is mounted nowhere any more.
        case overlayMapped
        /// It has the file open by such a one.
        case overlayOpen
        /// It has the file mapped by such a one, with the layer's number in the inode's.
        case overlayXino
        /// It has another file of the same inode number mapped by such a one.
        case overlayOther
        /// It has the file registered with an io_uring, and open nowhere.
        case ring
    }

    let identity: pid_t
    private let end: Atomic<Int32>

    init(_ kind: Kind, keeping descriptor: Int32) throws(Errno) {
        var ends: [Int32] = [-1, -1]
        guard unsafe cholders_pipe(&ends) == 0 else { throw Errno(rawValue: errno) }
        let process = unsafe cholders_start(kind.rawValue, descriptor, &ends)
        let error = errno
        close(ends[0])
        identity = process
        end = Atomic(ends[1])
        guard process > 0 else {
            close(ends[1])
            throw Errno(rawValue: error)
        }
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
