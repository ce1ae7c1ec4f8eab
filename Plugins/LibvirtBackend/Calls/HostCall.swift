#if Libvirt

/// The system calls that this package makes on the backing of guest memory, by their names.
package enum HostCall: String, Sendable, Hashable, CaseIterable {
    case mkdir
    case rmdir
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
    case listen = "fanotify_mark (FAN_MODIFY)"
    case name = "name_to_handle_at"
    case neighbour = "fork"
    case scan = "opendir (/proc)"
    case files = "opendir"
    case tasks = "opendir (/proc/PID/task)"
    case descriptors = "opendir (/proc/PID/fd)"
    case maps = "read (/proc)"
    case devices = "opendir (/sys/block)"
    case loop = "ioctl (LOOP_GET_STATUS64)"
    case overlay = "statfs (/proc)"
    case fileSystem = "statfs"
    case namespace = "readlink (/proc)"
    case lock = "flock"
    case write
    case rename
    case sync = "fsync"
}

#endif
