#if Libvirt
import CLibvirtHost
import Custody
import Glibc

/// One directory of memory files, which a back end may have, or a guest, or nobody.
struct MemoryDirectory: Sendable {
    let path: String
    let owner: DomainFiles.Owner
    let gate: any CallGate

    /// What became of the attempt to lock it.
    private enum Locking {
        /// Nobody else has it, as long as the lock is there; libvirt's have none.
        case free(FolderLock?)
        /// A back end has it.
        case taken
        /// It is no directory, or has gone.
        case gone
        /// Nobody can tell.
        case unknown(HostError)
    }

    private func lock() -> Locking {
        guard owner == .custody else { return .free(nil) }
        do throws(HostError) { return .free(try FolderLock(existing: path, gate: gate)) } catch {
            switch error.errno {
            case EWOULDBLOCK: return .taken
            case ENOENT, ENOTDIR: return .gone
            default: return .unknown(error)
            }
        }
    }

    /// What is in it, and who has it; `nil` where it is no directory, or has gone.
    func look() -> DomainFiles? {
        let locking = lock()
        defer { if case .free(let lock?) = locking { lock.release() } }
        return look(locking)
    }

    /// Removes it with all that is in it, where nobody has it.
    ///
    /// - Returns: what it was; where somebody has it, everything is still there. `nil` where it is no directory.
    /// - Throws: `HostError` where something of it cannot be removed.
    func removeIfLeftover() throws(HostError) -> DomainFiles? {
        let locking = lock()
        defer { if case .free(let lock?) = locking { lock.release() } }
        guard let found = look(locking), found.isLeftover else { return look(locking) }
        for file in found.files { try gate.remove(path + "/" + file.name) }
        try gate.host(.rmdir, path) { unsafe Int(rmdir(path)) }
        return found
    }

    // MARK: Looking

    private func look(_ locking: Locking) -> DomainFiles? {
        if case .gone = locking { return nil }
        var found: DomainFiles
        do throws(HostError) { found = try contents() } catch {
            guard error.errno != ENOTDIR, error.errno != ENOENT else { return nil }
            found = unread(error)
        }
        found.guest = guest(found.uuid).map(MemoryDirectory.process)
        switch locking {
        case .gone: return nil
        case .unknown(let error): found.obstacle = "\(error)"
        case .taken:
            found.backEnds = FolderLock.processes(at: path).map(MemoryDirectory.process)
            if found.backEnds.isEmpty { found.obstacle = "a back end in a process that this user does not see" }
        case .free where found.guest == nil: findHolders(&found)
        case .free: break
        }
        return found
    }

    private func contents() throws(HostError) -> DomainFiles {
        var files: [DomainFiles.File] = []
        for name in try ProcessMaps.names(in: path, .files, gate).sorted() {
            var status = stat()
            try gate.host(.status, path + "/" + name) { unsafe Int(lstat(path + "/" + name, &status)) }
            files.append(
                DomainFiles.File(
                    name: name,
                    byteCount: UInt64(clamping: status.st_size),
                    backedBytes: UInt64(clamping: status.st_blocks) * 512
                )
            )
        }
        return DomainFiles(domain: domain.name, uuid: domain.uuid, owner: owner, path: path, files: files)
    }

    private func unread(_ error: HostError) -> DomainFiles {
        var found = DomainFiles(domain: domain.name, uuid: domain.uuid, owner: owner, path: path, files: [])
        found.obstacle = "\(error)"
        return found
    }

    /// The domain that the directory's name tells of: `NAME-UUID` of ours, `[qemu-embed-HASH-]ID-NAME` of libvirt's.
    private var domain: (name: String, uuid: String?) {
        let name = path.split(separator: "/").last ?? ""
        if owner == .custody {
            let uuid = name.suffix(36)
            guard name.count > 37, uuid.split(separator: "-").map(\.count) == [8, 4, 4, 4, 12] else {
                return (String(name), nil)
            }
            return (String(name.dropLast(37)), String(uuid))
        }
        var parts = name.split(separator: "-", omittingEmptySubsequences: false)
        if parts.starts(with: ["qemu", "embed"]), parts.count > 4 { parts.removeFirst(3) }
        if parts.count > 1, Int(parts[0]) != nil { parts.removeFirst() }
        return (parts.joined(separator: "-"), nil)
    }

    /// The process that runs the domain: it has the UUID on its command line, or a file of the directory mapped.
    private func guest(_ uuid: String?) -> Int32? {
        let mapped = MemoryFolders.canonical(path) + "/"
        return ProcessMaps.processes.first { process in
            if let uuid { return (try? ProcessMaps.hasArgument(uuid, process)) == true }
            return owner == .libvirt && ProcessMaps.text("/proc/\(process)/maps").contains(mapped)
        }
    }

    /// Looks whether anybody has one of the files open or mapped: the kernel's word (`F_SETLEASE`), and then who.
    private func findHolders(_ found: inout DomainFiles) {
        for name in found.files.map({ path + "/" + $0.name }) {
            // One that a back end closed to everybody; that one is gone. Libvirt's names are of the same files.
            if owner == .custody { unsafe fchmodat(AT_FDCWD, name, 0o600, AT_SYMLINK_NOFOLLOW) }
            do throws(HostError) {
                let file = try OwnedFile(name, flags: O_RDWR | O_NOFOLLOW | O_NONBLOCK, gate: gate)
                guard try !isNobodys(file) else { continue }
                let holders = try holders(of: file)
                found.holders += holders.filter { !found.holders.contains($0) }
                if holders.isEmpty { found.obstacle = "somebody who has \(name) and is not found" }
            } catch {
                found.obstacle = "\(error)"
            }
        }
    }

    private func isNobodys(_ file: borrowing OwnedFile) throws(HostError) -> Bool {
        let descriptor = file.rawValue
        do throws(HostError) {
            try gate.host(.lease, file.path) { Int(clibvirt_lease(descriptor)) }
            return true
        } catch {
            guard error.errno == EAGAIN else { throw error }
            return false
        }
    }

    private func holders(of file: borrowing OwnedFile) throws(HostError) -> [DomainFiles.Process] {
        try HolderSearch(
            of: file.rawValue,
            ProcessMaps.identity(of: file, gate),
            path: file.path,
            passingOver: [getpid()],
            accepting: Set(UnseenProcesses.allCases),
            gate: gate
        ).holders().holders.compactMap { holder in
            holder.process.map { DomainFiles.Process(process: $0, command: holder.command) }
        }
    }

    private static func process(_ number: Int32) -> DomainFiles.Process {
        DomainFiles.Process(process: number, command: FileHolder.command(of: number))
    }
}

#endif
