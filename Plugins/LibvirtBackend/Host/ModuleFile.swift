#if Libvirt
import CLibvirtHost
import Custody
import Glibc

/// The file that a memory module is made of, with this process's window on it, and a record that outlives this process.
///
/// The file has a name of ours for as long as the module is in the layout, and one of libvirt's beside it while the module is
/// plugged in. A name can be made to stand for another file: what is opened once is used by its descriptor from then on. Offsets and lengths are in bytes.
@safe final class ModuleFile: Sendable {
    /// The name that is ours.
    let path: String
    /// The size.
    let size: UInt64
    /// The file, open for as long as this value is there: what remains of it when every name is gone.
    let descriptor: OwnedFile
    private let gate: any CallGate
    // Sendable: the address never changes, and the pages behind it are touched by system calls alone.
    private nonisolated(unsafe) let window: UnsafeMutableRawPointer
    // Sendable: the address never changes, and the byte behind it is touched by who has the module's lock.
    private nonisolated(unsafe) let record: UnsafeMutableRawPointer
    /// What the kernel calls the file where it is mapped.
    let identity: ProcessMaps.Identity
    /// Who is known not to have it.
    let cleared = ClearedProcesses()

    /// Makes the file of this name, or takes an empty one that is there, in a directory of this user's; it belongs to `owner`,
    /// who runs QEMU.
    convenience init(path: String, size: UInt64, owner: FileOwner = .current, gate: any CallGate) throws(HostError) {
        try self.init(ModuleFile.open(path, size, owner, gate), path, size, gate)
    }

    /// Opens the file of a module that a guest has, as it is: by the name that is ours, or by libvirt's where that is gone.
    ///
    /// - Throws: `HostError`, with `EFBIG` where the file has not the module's size.
    convenience init(path: String, or other: String, size: UInt64, gate: any CallGate) throws(HostError) {
        let file = try ModuleFile.openThere(path, or: other, gate)
        var status = stat()
        try gate.host(.status, path) { unsafe Int(fstat(file.rawValue, &status)) }
        guard UInt64(clamping: status.st_size) == size else {
            throw HostError(call: HostCall.status.rawValue, subject: file.path, errno: EFBIG)
        }
        let isOurs = file.path == path
        try self.init(file, path, size, gate)
        if !isOurs { try link(as: path) }
    }

    private init(
        _ file: consuming OwnedFile,
        _ path: String,
        _ size: UInt64,
        _ gate: any CallGate
    ) throws(HostError) {
        self.path = path
        self.size = size
        self.gate = gate
        let recordFile = try ModuleFile.open(path + ".record", PageSize.base.bytes, .current, gate)
        // It is written through a mapping: where there were no memory for it, that would be the end of the process.
        try ModuleFile.allocate(recordFile, offset: 0, length: PageSize.base.bytes, gate)
        let window = try unsafe ModuleFile.map(file.rawValue, Int(size), path, gate)
        do throws(HostError) {
            let address = UInt64(UInt(bitPattern: window))
            guard let mapping = try ProcessMaps.mapping(at: address, of: getpid(), gate) else {
                throw HostError(call: HostCall.maps.rawValue, subject: path, errno: ENOENT)
            }
            identity = mapping.identity
            unsafe record = try ModuleFile.map(
                recordFile.rawValue,
                Int(PageSize.base.bytes),
                recordFile.path,
                gate
            )
        } catch {
            unsafe munmap(window, Int(size))
            throw error
        }
        unsafe self.window = unsafe window
        descriptor = file
    }

    deinit {
        unsafe munmap(window, Int(size))
        unsafe munmap(record, Int(PageSize.base.bytes))
    }

    private static func openThere(
        _ path: String,
        or other: String,
        _ gate: any CallGate
    ) throws(HostError) -> OwnedFile {
        for name in [path, other] {
            unsafe fchmodat(AT_FDCWD, name, 0o600, AT_SYMLINK_NOFOLLOW)
            do throws(HostError) {
                return try OwnedFile(name, flags: O_RDWR | O_NOFOLLOW, gate: gate)
            } catch {
                guard error.errno == ENOENT, name != other else { throw error }
            }
        }
        throw HostError(call: HostCall.open.rawValue, subject: path, errno: ENOENT)
    }

    /// Opens a file, or makes it where there is none; as large as it has to be, and its owner's. No link is followed.
    private static func open(
        _ path: String,
        _ size: UInt64,
        _ owner: FileOwner,
        _ gate: any CallGate
    ) throws(HostError) -> OwnedFile {
        // One that an earlier process closed to everybody is the owner's to open again.
        unsafe fchmodat(AT_FDCWD, path, 0o600, AT_SYMLINK_NOFOLLOW)
        let file = try openOrMake(path, gate)
        try gate.host(.truncate, path) { Int(ftruncate(file.rawValue, Int(size))) }
        if owner != .current {
            try gate.host(.owner, path) { Int(fchown(file.rawValue, owner.user, owner.group)) }
        }
        return file
    }

    private static func openOrMake(_ path: String, _ gate: any CallGate) throws(HostError) -> OwnedFile {
        do throws(HostError) {
            return try OwnedFile(path, flags: O_RDWR | O_NOFOLLOW, gate: gate)
        } catch {
            guard error.errno == ENOENT else { throw error }
            return try OwnedFile(path, flags: O_RDWR | O_NOFOLLOW | O_CREAT | O_EXCL, mode: 0o600, gate: gate)
        }
    }

    private static func map(
        _ descriptor: Int32,
        _ length: Int,
        _ path: String,
        _ gate: any CallGate
    ) throws(HostError) -> UnsafeMutableRawPointer {
        var map: UnsafeMutableRawPointer?
        try gate.host(.map, path) {
            unsafe map = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
            return unsafe map == MAP_FAILED ? -1 : 0
        }
        guard let map = unsafe map else { throw HostError(call: HostCall.map.rawValue, subject: path, errno: ENOMEM) }
        do throws(HostError) {
            // A process that is forked off is no holder of the guest's memory, and a core dump of this one has none of it.
            for advice in [MADV_DONTFORK, MADV_DONTDUMP] {
                try gate.host(.advise, path) { unsafe Int(madvise(map, length, advice)) }
            }
        } catch {
            unsafe munmap(map, length)
            throw error
        }
        return unsafe map
    }

    // MARK: The window

    /// Opens or closes part of this process's window.
    func protect(offset: UInt64, length: UInt64, isOpen: Bool) throws(HostError) {
        let protection = isOpen ? PROT_READ | PROT_WRITE : PROT_NONE
        try gate.host(.protect, path) { unsafe Int(mprotect(window + Int(offset), Int(length), protection)) }
    }

    /// Copies between a buffer and the window, by the kernel: what is closed stops it, and no signal is sent.
    ///
    /// - Returns: how many bytes were copied before a page that is closed.
    func copy(_ buffer: UnsafeMutableRawPointer, offset: UInt64, count: Int, into: Bool) throws(HostError) -> Int {
        do throws(HostError) {
            return try gate.host(.copy, path) {
                unsafe clibvirt_copy(buffer, window + Int(offset), count, into ? 1 : 0)
            }
        } catch {
            guard error.errno == EFAULT else { throw error }
            return 0
        }
    }

    // MARK: The memory behind it

    /// Takes the memory of part of the file from the system now, rather than at the first touch; contents stay.
    func allocate(offset: UInt64, length: UInt64) throws(HostError) {
        try ModuleFile.allocate(descriptor, offset: offset, length: length, gate)
    }

    private static func allocate(
        _ file: borrowing OwnedFile,
        offset: UInt64,
        length: UInt64,
        _ gate: any CallGate
    ) throws(HostError) {
        let descriptor = file.rawValue
        try gate.host(.allocate, file.path) { Int(clibvirt_allocate(descriptor, Int(offset), Int(length))) }
    }

    /// Gives the memory of part of the file back to the system; whoever touches it next finds zeroes.
    func discard(offset: UInt64, length: UInt64) throws(HostError) {
        try gate.host(.punchHole, path) { Int(clibvirt_discard(descriptor.rawValue, Int(offset), Int(length))) }
    }

    /// Ends the file at its beginning. Nobody finds anything in it any more, and a window on it is of no use.
    func cut() throws(HostError) {
        try gate.host(.truncate, path) { Int(ftruncate(descriptor.rawValue, 0)) }
    }

    /// The bytes of memory behind all of the file: what `st_blocks` says.
    func backedBytes() throws(HostError) -> UInt64 {
        var status = stat()
        try gate.host(.status, path) { unsafe Int(fstat(descriptor.rawValue, &status)) }
        return UInt64(clamping: status.st_blocks) * 512
    }

    /// The bytes of part of the file that have been written to: what `SEEK_DATA` finds.
    func writtenBytes(offset: UInt64, length: UInt64) throws(HostError) -> UInt64 {
        var sum: UInt64 = 0
        var position = offset
        while position < offset + length {
            let start: UInt64
            do throws(HostError) {
                start = try seek(position, toData: true)
            } catch {
                // There is none from there to the end.
                guard error.errno == ENXIO else { throw error }
                break
            }
            let end = min(try seek(start, toData: false), offset + length)
            if end > start { sum += end - start }
            position = max(end, position + 1)
        }
        return sum
    }

    private func seek(_ offset: UInt64, toData: Bool) throws(HostError) -> UInt64 {
        UInt64(clamping: try gate.host(.seek, path) { clibvirt_seek(descriptor.rawValue, Int(offset), toData ? 1 : 0) })
    }

    // MARK: Who else has it

    /// Whether nobody else has the file open for writing, or mapped: the kernel's word, by a write lease.
    func isOurs() throws(HostError) -> Bool {
        do throws(HostError) {
            try gate.host(.lease, path) { Int(clibvirt_lease(descriptor.rawValue)) }
            return true
        } catch {
            guard error.errno == EAGAIN else { throw error }
            return false
        }
    }

    /// Who has the file open or mapped beside this process, or may have.
    func holders(
        accepting accepted: Set<UnseenProcesses>,
        among register: ProcessRegister = ProcessRegister()
    ) throws(HostError) -> [FileHolder] {
        try search(passingOver: [], since: 0, accepting: accepted, among: register).holders
    }

    /// Looks for who has it, beside this process and the guest's, until the kernel has told of nobody who opened it meanwhile;
    /// where it always has, somebody is taken to have it. Who is known not to have it is passed over.
    ///
    /// - Parameter hear: takes what the kernel has told, and returns `false` where it tells nothing: then nobody is passed over.
    func strangers(
        beside guest: Int32?,
        accepting accepted: Set<UnseenProcesses>,
        among register: ProcessRegister,
        hearing hear: () -> Bool
    ) throws(HostError) -> [FileHolder] {
        for _ in 0..<ModuleFile.longestChase {
            let isHeard = hear()
            if !isHeard { cleared.forget() }
            let standing = cleared.standing
            let (holders, list) = try search(
                passingOver: Set([guest].compactMap(\.self)),
                since: standing.list,
                accepting: accepted,
                among: register
            )
            guard holders.isEmpty else {
                // Who has it may hand it on to who has been passed over.
                cleared.forget()
                return holders
            }
            guard isHeard else { return [] }
            if hear(), cleared.clear(upTo: list, since: standing) { return [] }
        }
        let why = "\(path) is opened as often as its holders are looked for"
        return [FileHolder(process: nil, command: "who has just opened it", hold: .unseen(why))]
    }

    private static let longestChase = 64

    private func search(
        passingOver isPassedOver: Set<Int32>,
        since list: UInt64,
        accepting accepted: Set<UnseenProcesses>,
        among register: ProcessRegister
    ) throws(HostError) -> (holders: [FileHolder], list: UInt64) {
        try HolderSearch(
            of: descriptor.rawValue,
            identity,
            path: path,
            passingOver: isPassedOver.union([getpid()]),
            since: list,
            among: register,
            accepting: accepted,
            gate: gate
        ).holders()
    }

    /// Lets others open the file, as far as their users may, or nobody but root.
    func setMode(isOpen: Bool) throws(HostError) {
        try gate.host(.mode, path) { Int(fchmod(descriptor.rawValue, isOpen ? 0o600 : 0)) }
    }

    // MARK: Names

    /// Gives the file one more name.
    func link(as name: String) throws(HostError) {
        try gate.host(.link, name) { unsafe Int(clibvirt_link(descriptor.rawValue, name)) }
    }

    // MARK: The record

    /// Whether the guest has been asked for the module and has not answered yet.
    var isAsked: Bool {
        get { unsafe record.load(as: UInt8.self) != 0 }
        set { unsafe record.storeBytes(of: newValue ? 1 : 0, as: UInt8.self) }
    }
}

#endif
