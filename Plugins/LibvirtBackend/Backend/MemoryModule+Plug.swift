#if Libvirt
import Custody
import Glibc

// Into the guest, and out of it.
extension MemoryModule {
    /// Takes all memory behind the module from the system, so that the guest never touches some that there is not.
    ///
    /// - Returns: whether there was none before, so that ``returnMemory()`` takes this back.
    /// - Throws: `BackendError` with code `resourcesExhausted` where there is not enough.
    @discardableResult
    func takeMemory() throws(BackendError) -> Bool {
        var wasEmpty = false
        do throws(HostError) {
            wasEmpty = try file.backedBytes() == 0
            try file.allocate(offset: 0, length: file.size)
            return wasEmpty
        } catch {
            // A part that was allocated all the same is no use to anybody.
            if wasEmpty { try? returnMemory() }
            let code: BackendError.Code = error.errno == ENOSPC ? .resourcesExhausted : .system
            let isShort = code == .resourcesExhausted
            let text = isShort ? "there is not enough memory for the module" : "the module's memory cannot be had"
            throw BackendError(code, text, range: range, cause: error)
        }
    }

    /// Gives all memory behind the module back to the system, with its contents.
    func returnMemory() throws(HostError) { try file.discard(offset: 0, length: file.size) }

    /// Plugs the module in. Afterwards the guest has it, made of our file, or nothing has changed.
    ///
    /// What libvirt says of the call is not the last word: where it failed, the live description is asked.
    ///
    /// - Throws: `BackendError`, with code `lost` where the guest has a module of another file and keeps it for `patience`.
    func plug(
        into domain: ManagedDomain,
        runBy emulator: Int32,
        _ folders: MemoryFolders,
        patience: Duration,
        gate: any CallGate
    ) throws(BackendError) {
        try attach(to: domain, folders, gate: gate)
        do throws(BackendError) { try check(domain, runBy: emulator, gate: gate) } catch {
            let end = ContinuousClock.now + patience
            while true {
                try? domain.use { domain throws(VirError) in try domain.requestDetach(alias: alias) }
                if isPlugged(into: domain) == false {
                    try? gate.remove(folders.name(of: self))
                    throw BackendError(.system, error.message, range: range, cause: error.cause)
                }
                guard ContinuousClock.now < end else { break }
                usleep(20_000)
            }
            throw BackendError(
                .lost,
                error.message + "; and the guest keeps the module",
                range: range,
                cause: error.cause
            )
        }
    }

    /// Sees that what the guest has at the module's address is our file, and that what is written there reaches it.
    ///
    /// Libvirt takes a file by its name, and so does the process before: a name may stand for another file by now, as where the
    /// domain was saved and restored.
    ///
    /// - Throws: `BackendError`, with code `lost` where it is something else, which is named; with `busy` where there is nothing,
    ///   as of a module that the guest has let go, of which libvirt has not heard; with another one where that cannot be found
    ///   out.
    func check(_ domain: ManagedDomain, runBy emulator: Int32, gate: any CallGate) throws(BackendError) {
        let start = try hostAddress(in: domain)
        for offset in [0, file.size - 1] {
            let mapping = try start.flatMap { start throws(BackendError) in
                try self.mapping(at: start + offset, of: emulator, gate)
            }
            if let start, let mapping, mapping.identity == file.identity, mapping.isShared,
                start + offset - mapping.addresses.lowerBound + mapping.offset == offset
            {
                continue
            }
            let found = mapping.map { "\($0.identity)\($0.isShared ? "" : ", not shared")" } ?? "no memory"
            throw BackendError(
                mapping == nil ? .busy : .lost,
                "the guest's memory at \(range.address) is not the file of this back end, ‘\(file.path)’, "
                    + "\(file.identity): QEMU (pid \(emulator)) has \(found) there",
                range: range
            )
        }
    }

    private func mapping(
        at address: UInt64,
        of process: Int32,
        _ gate: any CallGate
    ) throws(BackendError) -> ProcessMaps.Mapping? {
        do throws(HostError) { return try ProcessMaps.mapping(at: address, of: process, gate) } catch {
            throw BackendError(.system, "QEMU's memory cannot be looked at", range: range, cause: error)
        }
    }

    /// Where QEMU has the module's first byte in its own memory; `nil` where it has none there.
    private func hostAddress(in domain: ManagedDomain) throws(BackendError) -> UInt64? {
        let command = ["command-line": "gpa2hva \(range.address)"]
        func ask() throws(BackendError) -> String {
            try domain.ask("human-monitor-command", command, for: String.self)
        }
        let answer: String
        // An answer may get lost.
        do throws(BackendError) { answer = try ask() } catch { answer = try ask() }
        // “Host virtual address for 0x100000000 (dimm0) is 0x7f0000000000”.
        guard let word = answer.split(whereSeparator: \.isWhitespace).last, word.hasPrefix("0x") else { return nil }
        return UInt64(word.dropFirst(2), radix: 16)
    }

    private func attach(
        to domain: ManagedDomain,
        _ folders: MemoryFolders,
        gate: any CallGate
    ) throws(BackendError) {
        let name = folders.name(of: self)
        do throws(HostError) {
            try gate.remove(name)
            try file.link(as: name)
        } catch {
            try? gate.remove(name)
            throw BackendError(.system, "the module's file cannot be given to libvirt", range: range, cause: error)
        }
        do throws(VirError) {
            try withQEMUAdmitted { () throws(VirError) in
                try domain.use { domain throws(VirError) in try domain.attach(device) }
            }
        } catch {
            switch isPlugged(into: domain) {
            case true?: return
            case false?: try? gate.remove(name)
            // The name stays: the guest may have it.
            case nil: break
            }
            throw error.asBackendError("the module cannot be plugged in", range: range)
        }
    }

    /// Whether the guest has the module, as libvirt describes it; `nil` where libvirt does not answer.
    func isPlugged(into domain: ManagedDomain) -> Bool? {
        for _ in 0..<2 {
            if let live = try? domain.describe() { return live.memoryModule(alias) != nil }
        }
        return nil
    }

    /// Drops the contents of the file for good: by a hole, and where the file system makes none, by its end.
    func erase() throws(HostError) {
        do throws(HostError) { try file.discard(offset: 0, length: file.size) } catch { try file.cut() }
    }

    /// Opens everything: nobody keeps anybody out any more.
    func open() {
        try? show(range)
        admit()
    }
}

#endif
