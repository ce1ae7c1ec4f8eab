#if Libvirt

/// The system calls that this package makes on the backing of guest memory, by their names.
package enum HostCall: String, Sendable, Hashable, CaseIterable {
    case mkdir
    case open
    case truncate = "ftruncate"
    case allocate = "fallocate"
    case punchHole = "fallocate (punch hole)"
    case link
    case unlink
    case map = "mmap"
    case protect = "mprotect"
    case advise = "madvise"
    case copy = "process_vm_readv"
    case status = "fstat"
    case seek = "lseek"
    case mode = "fchmod"
    case owner = "fchown"
    case lease = "fcntl (F_SETLEASE)"
    case makeMemoryFile = "memfd_create"
    case seal = "fcntl (F_ADD_SEALS)"
    case symlink
    case read = "pread"
    case watch = "inotify_add_watch"
    case bell = "eventfd"
    case sentry = "fanotify_init"
    case deny = "fanotify_mark"
    case neighbour = "fork"
    case scan = "opendir (/proc)"
    case write
    case rename
    case sync = "fsync"
}

#endif
