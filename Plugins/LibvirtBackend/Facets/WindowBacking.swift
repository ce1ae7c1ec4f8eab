#if Libvirt
import CLibvirtHost
import Custody
import Glibc

/// The file behind a shared window, with one owner.
///
/// QEMU finds it by its name below `/dev/shm`. Its owner has it open throughout, so that the kernel can be asked who else
/// has, and what is in it.
struct WindowBacking: ~Copyable, Sendable {
    private let descriptor: Int32
    private let path: String
    private let gate: any CallGate
    let byteCount: UInt64
    let isSealable: Bool

    /// Makes a file that was not there before.
    ///
    /// A sealable one has no name of its own: the name is a link to this process's descriptor of it.
    ///
    /// - Throws: `BackendError` with code ``BackendError/Code/invalidArgument`` where the name is taken.
    init(name: String, byteCount: UInt64, isSealable: Bool, gate: any CallGate) throws(BackendError) {
        let path = WindowBacking.path(of: name)
        var opened: Int32 = -1
        var isNamed = false
        do throws(HostError) {
            if isSealable {
                opened = try WindowBacking.makeMemoryFile(name, byteCount, gate)
                let target = "/proc/\(getpid())/fd/\(opened)"
                try gate.host(.symlink, path) { unsafe Int(symlink(target, path)) }
                isNamed = true
            } else {
                let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
                opened = Int32(try gate.host(.open, path) { unsafe Int(open(path, flags, 0o600)) })
                isNamed = true
                let file = opened
                try gate.host(.truncate, path) { Int(ftruncate(file, off_t(byteCount))) }
            }
        } catch {
            if opened >= 0 { close(opened) }
            if isNamed { unsafe unlink(path) }
            let isTaken = error.errno == EEXIST
            throw BackendError(
                isTaken ? .invalidArgument : .resourcesExhausted,
                isTaken ? "there is a window ‘\(name)’ already" : "the window ‘\(name)’ has no memory",
                cause: error
            )
        }
        self.path = path
        self.byteCount = byteCount
        self.isSealable = isSealable
        self.gate = gate
        descriptor = opened
    }

    /// Opens a file that is there, whatever its name is a link to.
    init(existing name: String, gate: any CallGate) throws(BackendError) {
        let path = WindowBacking.path(of: name)
        var status = stat()
        var opened: Int32 = -1
        do throws(HostError) {
            opened = Int32(try gate.host(.open, path) { unsafe Int(open(path, O_RDWR | O_CLOEXEC)) })
            let file = opened
            try gate.host(.status, path) { unsafe Int(fstat(file, &status)) }
        } catch {
            if opened >= 0 { close(opened) }
            throw BackendError(.unavailable, "the file behind the window ‘\(name)’ cannot be opened", cause: error)
        }
        self.path = path
        self.gate = gate
        byteCount = UInt64(status.st_size)
        isSealable = clibvirt_is_sealable(opened) == 1
        descriptor = opened
    }

    deinit { close(descriptor) }

    static func path(of name: String) -> String { "/dev/shm/" + name }

    /// A memory file that can neither grow nor shrink, opened by a descriptor of its own: only such ones the kernel counts
    /// among those that may write (`i_writecount`), which a lease looks at.
    private static func makeMemoryFile(
        _ name: String,
        _ byteCount: UInt64,
        _ gate: any CallGate
    ) throws(HostError) -> Int32 {
        let first = Int32(try gate.host(.makeMemoryFile, name) { unsafe Int(clibvirt_memory_file(name)) })
        defer { close(first) }
        try gate.host(.truncate, name) { Int(ftruncate(first, off_t(byteCount))) }
        try gate.host(.seal, name) { Int(clibvirt_seal_size(first)) }
        let path = "/proc/self/fd/\(first)"
        return Int32(try gate.host(.open, path) { unsafe Int(open(path, O_RDWR | O_CLOEXEC)) })
    }

    // MARK: Contents

    /// How many bytes of the host's memory are in it.
    func allocatedBytes() throws(BackendError) -> UInt64 {
        var status = stat()
        try call(.status, "looked at") { unsafe Int(fstat(descriptor, &status)) }
        return UInt64(status.st_blocks) * 512
    }

    /// Copies bytes out. The caller vouches for the range.
    func read(_ count: Int, at offset: UInt64) throws(BackendError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = try call(.read, "read") {
                unsafe bytes.withUnsafeMutableBytes {
                    unsafe pread(descriptor, $0.baseAddress?.advanced(by: done), count - done, off_t(offset) + done)
                }
            }
            guard got > 0 else { throw BackendError(.lost, "the file of a window has become shorter") }
            done += got
        }
        return bytes
    }

    /// Copies bytes in. The caller vouches for the range.
    func write(_ bytes: [UInt8], at offset: UInt64) throws(BackendError) {
        var done = 0
        while done < bytes.count {
            done += try call(.write, "written") {
                unsafe bytes.withUnsafeBytes {
                    unsafe pwrite(
                        descriptor,
                        $0.baseAddress?.advanced(by: done),
                        bytes.count - done,
                        off_t(offset) + done
                    )
                }
            }
        }
    }

    /// Gives its memory back; it reads as zeroes then, and the kernel is asked whether that is so.
    func scrub() throws(BackendError) {
        try call(.punchHole, "scrubbed") { Int(clibvirt_discard(descriptor, 0, off_t(byteCount))) }
        let end: Int
        do throws(HostError) { end = try gate.host(.seek, path) { Int(clibvirt_seek(descriptor, 0, 1)) } } catch {
            // There is no data from there on.
            guard error.errno != ENXIO else { return }
            throw BackendError(.system, "whether ‘\(path)’ is scrubbed cannot be seen", cause: error)
        }
        throw BackendError(.system, "‘\(path)’ has contents at \(end) after it was scrubbed")
    }

    // MARK: Who else has it

    /// Whether nobody else has the file open or mapped, by the kernel's word: only then it grants a lease (fcntl(2)).
    func isOnlyOurs() throws(BackendError) -> Bool {
        do throws(HostError) {
            try gate.host(.lease, path) { Int(clibvirt_lease(descriptor)) }
        } catch {
            guard error.errno == EAGAIN || error.errno == EBUSY else {
                throw BackendError(.system, "whether somebody else has ‘\(path)’ cannot be seen", cause: error)
            }
            return false
        }
        return true
    }

    /// The processes that have the file, as far as this user may see, by the name that each calls itself. This one has it
    /// mapped where somebody in it has done so.
    func holders() throws(BackendError) -> [Holder] {
        do throws(HostError) {
            let search = try HolderSearch(
                of: descriptor,
                self.identity(),
                path: path,
                passingOver: [],
                accepting: Set(UnseenProcesses.allCases),
                gate: gate
            )
            return try search.holders().holders.map { holder in
                let purpose =
                    switch holder.hold {
                    case .mapped: "has the window mapped"
                    case .open: "has the window's file open"
                    case .unseen(let why): "unseen: \(why)"
                    }
                return Holder(device: holder.command, process: holder.process, purpose: purpose)
            }
        } catch {
            throw BackendError(.system, "who has ‘\(path)’ cannot be seen", cause: error)
        }
    }

    /// What the kernel calls the file where it is mapped, which can be seen only there: a page is, for this moment.
    private func identity() throws(HostError) -> ProcessMaps.Identity {
        let length = Int(PageSize.base.bytes)
        var map: UnsafeMutableRawPointer?
        try gate.host(.map, path) {
            unsafe map = mmap(nil, length, PROT_NONE, MAP_SHARED, descriptor, 0)
            return unsafe map == MAP_FAILED ? -1 : 0
        }
        defer { unsafe _ = munmap(map, length) }
        let mapping = try ProcessMaps.mapping(at: UInt64(UInt(bitPattern: map)), of: getpid(), gate)
        guard let mapping else { throw HostError(call: HostCall.maps.rawValue, subject: path, errno: ENOENT) }
        return mapping.identity
    }

    /// Fixes the contents for good.
    ///
    /// - Returns: `false` where somebody has the file mapped and may write.
    func seal() throws(BackendError) -> Bool {
        do throws(HostError) {
            try gate.host(.seal, path) { Int(clibvirt_seal_contents(descriptor)) }
        } catch {
            guard error.errno == EBUSY else {
                throw BackendError(.system, "‘\(path)’ cannot be sealed", cause: error)
            }
            return false
        }
        return true
    }

    /// Takes the name away; who has the file open keeps it.
    func removeName() throws(BackendError) {
        do throws(HostError) { try gate.host(.unlink, path) { unsafe Int(unlink(path)) } } catch {
            guard error.errno != ENOENT else { return }
            throw BackendError(.system, "the name of a window cannot be removed", cause: error)
        }
    }

    @discardableResult
    private func call(_ call: HostCall, _ what: String, _ body: () -> Int) throws(BackendError) -> Int {
        do throws(HostError) { return try gate.host(call, path, body) } catch {
            throw BackendError(.system, "‘\(path)’ cannot be \(what)", cause: error)
        }
    }
}

#endif
