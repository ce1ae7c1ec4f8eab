/// One call into the kernel, as a value: what the seam for tests sees, and what an error names.
package enum SystemCall: Sendable {
    /// `open(2)`.
    case open(path: String, flags: Int32)
    /// `read(2)` into memory of this process, in bytes.
    case read(Int32, address: UInt, length: UInt64)
    /// `close(2)`.
    case close(Int32)
    /// `ioctl(2)`; the argument is a number or the address of the request's structure. A descriptor that it returns is
    /// close-on-exec.
    case ioctl(Int32, KVMRequest, argument: UInt)
    /// `fcntl(2)` with `F_DUPFD_CLOEXEC`.
    case duplicate(Int32)
    /// `memfd_create(2)`.
    case memfdCreate(name: String)
    /// `ftruncate(2)`, in bytes.
    case ftruncate(Int32, size: UInt64)
    /// `mmap(2)`, shared, from an offset in the file; anonymous where there is no descriptor. In bytes.
    case mmap(Int32?, length: UInt64, protection: Int32, offset: UInt64 = 0)
    /// `mmap(2)`, private and anonymous, to be read and written. In bytes.
    case mmapPrivate(length: UInt64)
    /// `munmap(2)`, in bytes.
    case munmap(address: UInt, length: UInt64)
    /// `mprotect(2)`, in bytes.
    case mprotect(address: UInt, length: UInt64, protection: Int32)
    /// `fallocate(2)` with `FALLOC_FL_PUNCH_HOLE`, in bytes.
    case punchHole(Int32, offset: UInt64, length: UInt64)
    /// `fallocate(2)` with `FALLOC_FL_KEEP_SIZE` alone, in bytes.
    case allocate(Int32, offset: UInt64, length: UInt64)
    /// `lseek(2)` with `SEEK_DATA`, in bytes.
    case seekData(Int32, offset: UInt64)
    /// `madvise(2)` with `MADV_POPULATE_WRITE`, in bytes.
    case populate(address: UInt, length: UInt64)
    /// `madvise(2)` with `MADV_DONTNEED`, in bytes.
    case discard(address: UInt, length: UInt64)
    /// `madvise(2)` with an advice that changes no bytes, in bytes.
    case advise(address: UInt, length: UInt64, MemoryAdvice)
    /// `mincore(2)`, in bytes; returns the number of pages that are in memory.
    case residentPages(address: UInt, length: UInt64)

    /// The call's name; an ioctl has its request's.
    package var name: String {
        switch self {
        case .open: "open"
        case .read: "read"
        case .close: "close"
        case .ioctl(_, let request, _): request.rawValue
        case .duplicate: "fcntl"
        case .memfdCreate: "memfd_create"
        case .ftruncate: "ftruncate"
        case .mmap, .mmapPrivate: "mmap"
        case .munmap: "munmap"
        case .mprotect: "mprotect"
        case .punchHole, .allocate: "fallocate"
        case .seekData: "lseek"
        case .populate, .discard, .advise: "madvise"
        case .residentPages: "mincore"
        }
    }

    /// Whether the call is made again after a signal has interrupted it (`EINTR`).
    ///
    /// All are, but two: `close(2)` has closed the descriptor by then, whose number may be anybody's; and `KVM_RUN` is
    /// interrupted on purpose, so that the interruption is an answer.
    var isRepeatedAfterSignal: Bool {
        switch self {
        case .close, .ioctl(_, .run, _): false
        default: true
        }
    }

    /// The arguments, for people.
    package var arguments: String {
        switch self {
        case .open(let path, _): path
        case .read(let descriptor, _, let length): "fd \(descriptor), \(length) bytes"
        case .close(let descriptor), .duplicate(let descriptor): "fd \(descriptor)"
        case .ioctl(let descriptor, let request, let argument):
            "fd \(descriptor), \(request.description(ofArgument: argument))"
        case .memfdCreate(let name): name
        case .ftruncate(let descriptor, let size): "fd \(descriptor), \(size) bytes"
        case .mmap(let descriptor, let length, _, _):
            "\(descriptor.map { "fd \($0)" } ?? "anonymous"), \(length) bytes"
        case .mmapPrivate(let length): "anonymous, private, \(length) bytes"
        case .munmap(let address, let length), .mprotect(let address, let length, _),
            .residentPages(let address, let length):
            "0x\(String(address, radix: 16)), \(length) bytes"
        case .punchHole(let descriptor, let offset, let length):
            "fd \(descriptor), FALLOC_FL_PUNCH_HOLE|KEEP_SIZE at 0x\(String(offset, radix: 16)), \(length) bytes"
        case .allocate(let descriptor, let offset, let length):
            "fd \(descriptor), FALLOC_FL_KEEP_SIZE at 0x\(String(offset, radix: 16)), \(length) bytes"
        case .seekData(let descriptor, let offset): "fd \(descriptor), SEEK_DATA from 0x\(String(offset, radix: 16))"
        case .populate(let address, let length):
            "0x\(String(address, radix: 16)), \(length) bytes, MADV_POPULATE_WRITE"
        case .discard(let address, let length):
            "0x\(String(address, radix: 16)), \(length) bytes, MADV_DONTNEED"
        case .advise(let address, let length, let advice):
            "0x\(String(address, radix: 16)), \(length) bytes, \(advice.name)"
        }
    }
}
