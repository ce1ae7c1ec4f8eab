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

    /// Plugs the module in. Afterwards the guest has it, or nothing has changed.
    ///
    /// What libvirt says of the call is not the last word: where it failed, the live description is asked.
    func plug(
        into domain: ManagedDomain,
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

    /// Opens everything: nobody keeps anybody out any more.
    func open() {
        try? show(range)
        admit()
    }
}

#endif
