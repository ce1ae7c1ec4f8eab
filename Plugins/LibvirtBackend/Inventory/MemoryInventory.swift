#if Libvirt
public import Custody
import Glibc

/// What domains have, or have left, in a directory of memory files.
///
/// Looking takes the lock of a directory that no back end has for a moment, so that nobody begins to use what is looked at.
public struct MemoryInventory: Sendable {
    /// The directory: the key `memory` of a configuration, or a daemon's `memory_backing_dir`.
    public let memory: String
    private let gate: any CallGate

    /// The inventory of a directory.
    public init(of memory: String) { self.init(of: memory, gate: OpenGate()) }

    init(of memory: String, gate: any CallGate) {
        self.memory = memory
        self.gate = gate
    }

    /// The inventory of the directory that a configuration names.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` for a daemon's domains: its directory is the daemon's affair.
    public init(of options: LibvirtOptions) throws(BackendError) {
        if let uri = options.uri {
            throw BackendError(
                .invalidArgument,
                "the memory files of ‘\(uri)’ are in a directory of the daemon's (memory_backing_dir in its qemu.conf): "
                    + "name that directory"
            )
        }
        self.init(of: EmbeddedRoot(of: options).memoryInUse)
    }

    /// The inventory of the directory that a driver's root names in its configuration.
    ///
    /// - Throws: `BackendError` with code `unavailable` where it names none.
    public init(ofRoot root: String) throws(BackendError) {
        let text = "‘\(root)’ is no root of libvirt's driver in a process"
        let memory: String?
        do throws(HostError) { memory = try EmbeddedRoot.memoryDirectory(namedIn: root) } catch {
            throw BackendError(.unavailable, text, cause: error)
        }
        guard let memory else {
            throw BackendError(.unavailable, "\(text): its etc/qemu.conf names no memory_backing_dir")
        }
        self.init(of: memory)
    }

    // MARK: What is there

    /// All directories with what is in them, those of this package first, by name.
    ///
    /// - Throws: `BackendError` with code `unavailable` where the directory of one cannot be read.
    public func domains() throws(BackendError) -> [DomainFiles] {
        try directories().compactMap { $0.look() }
    }

    /// Removes the directories that nobody has, with all that is in them.
    ///
    /// Each is looked at once more while no back end can begin to use it.
    ///
    /// - Parameter isWanted: which ones may be removed.
    /// - Returns: all directories as they were found: those that are leftovers are not there any more.
    /// - Throws: `BackendError` with code `unavailable` where one cannot be removed, or read.
    public func removeLeftovers(
        where isWanted: (DomainFiles) -> Bool = { _ in true }
    ) throws(BackendError) -> [DomainFiles] {
        var found: [DomainFiles] = []
        for directory in try directories() {
            guard let files = directory.look(), isWanted(files) else { continue }
            guard files.isLeftover else {
                found.append(files)
                continue
            }
            do throws(HostError) {
                if let files = try directory.removeIfLeftover() { found.append(files) }
            } catch {
                throw BackendError(.unavailable, "‘\(files.path)’ cannot be removed", cause: error)
            }
        }
        return found
    }

    private func directories() throws(BackendError) -> [MemoryDirectory] {
        var found: [MemoryDirectory] = []
        let places = [(DomainFiles.Owner.custody, "\(memory)/custody"), (.libvirt, "\(memory)/libvirt/qemu")]
        for (owner, path) in places {
            let names: [String]
            do throws(HostError) { names = try ProcessMaps.names(in: path, .files, gate) } catch {
                if error.errno == ENOENT { continue }
                throw BackendError(.unavailable, "the directory ‘\(path)’ cannot be read", cause: error)
            }
            found += names.sorted().map { MemoryDirectory(path: path + "/" + $0, owner: owner, gate: gate) }
        }
        return found
    }
}

#endif
