#if Libvirt
public import Custody

/// What the memory of a domain is behind, and who can reach it besides QEMU: read from the live description of a domain
/// that somebody else may have made, and never changed.
public struct AdoptedMemory: Sendable, Hashable {
    /// What a piece of memory is behind.
    public enum Source: String, Sendable, Hashable, Codable {
        /// Memory of QEMU's process alone.
        case anonymous
        /// A file with a name, in the directory of libvirt's memory files.
        case file
        /// A file without a name, which others reach by QEMU's descriptor alone.
        case memfd
        /// Huge pages, as files of a hugetlbfs.
        case hugepages
    }

    /// How a guest's memory can be shared in place with other processes.
    public enum Sharing: String, Sendable, Hashable, Codable {
        /// By whoever may open the file.
        case byName = "by-name"
        /// By whoever may look into QEMU's process: root, or the same user.
        case byDescriptor = "by-descriptor"
        /// Not at all: QEMU has a copy of its own of what it writes.
        case none
    }

    /// One piece: the memory that the machine begins with, or a memory device.
    public struct Piece: Sendable, Hashable {
        /// Libvirt's alias of the device; `nil` for what the machine begins with.
        public let alias: String?
        /// What it is behind.
        public let source: Source
        /// Whether QEMU maps it shared (`access mode='shared'`).
        public let isShared: Bool
        /// The size in bytes.
        public let byteCount: UInt64

        /// A piece that is described so. Anonymous memory with any word about its access libvirt puts into a file, too
        /// (qemuBuildMemoryBackendProps).
        init(alias: String?, source: Source, access: String?, byteCount: UInt64) {
            self.alias = alias
            self.source = source == .anonymous && access != nil ? .file : source
            isShared = access == "shared"
            self.byteCount = byteCount
        }

        /// How it can be shared in place.
        public var sharing: Sharing {
            guard isShared else { return .none }
            switch source {
            case .anonymous: return .none
            case .memfd: return .byDescriptor
            case .file, .hugepages: return .byName
            }
        }
    }

    /// The pieces, the one that the machine begins with first.
    public let pieces: [Piece]
    /// Libvirt's name of the launch security that the guest was started with; `nil` for none.
    public let launchSecurity: String?

    /// Reads a description.
    package init(of description: LiveDescription) {
        let backing = description.root.first("memoryBacking")
        let isHuge = backing?.first("hugepages") != nil
        let source = backing?.first("source")?["type"].flatMap(Source.init) ?? (isHuge ? .hugepages : .anonymous)
        let access = backing?.first("access")?["mode"]
        var pieces: [Piece] = []
        // A cell may have its own word; what is behind it is the same for all.
        let cells = description.root.first("cpu", "numa")?.elements("cell") ?? []
        for cell in cells {
            let size = XMLElement.bytes(cell["memory"], unit: cell["unit"]) ?? 0
            pieces.append(Piece(alias: nil, source: source, access: cell["memAccess"] ?? access, byteCount: size))
        }
        if cells.isEmpty {
            pieces = [Piece(alias: nil, source: source, access: access, byteCount: description.baseMemory)]
        }
        for device in description.devices("memory") {
            // An NVDIMM or virtio-pmem device is a file of its own.
            let file = device.first("source", "path") != nil
            pieces.append(
                Piece(
                    alias: device.first("alias")?["name"],
                    source: file ? .file : source,
                    access: device["access"] ?? access,
                    byteCount: device.first("target", "size")?.byteCount ?? 0
                )
            )
        }
        self.pieces = pieces
        launchSecurity = LaunchSecurity.kind(in: description)
    }

    /// Who keeps the host from the guest's private memory.
    ///
    /// With launch security it is the processor. Memory that QEMU shares with whoever opens it is kept by nobody. Memory
    /// of its own is kept from other processes by their page tables, but not from who may look into QEMU's: root, the
    /// same user, ``Inspection``.
    public var enforcement: Enforcement {
        if launchSecurity != nil { return .kernel }
        return pieces.allSatisfy { $0.sharing == .none } ? .process : .none
    }

    /// How all of it can be shared in place: as the least of its pieces can.
    public var sharing: Sharing {
        if launchSecurity != nil || pieces.contains(where: { $0.sharing == .none }) { return .none }
        return pieces.contains { $0.sharing == .byDescriptor } ? .byDescriptor : .byName
    }

    /// What an operator should know about it, in a sentence.
    public var remark: String {
        if let launchSecurity { return "launch security ‘\(launchSecurity)’ keeps the host out of private memory" }
        switch (sharing, enforcement) {
        case (.byName, _): return "whoever may open its file shares the memory in place, and nobody is kept out of it"
        case (.byDescriptor, _):
            return "whoever may look into QEMU's process shares the memory in place, and nobody else reaches it"
        case (.none, .none): return "a part of the memory is shared in place with whoever opens it, another cannot be"
        case (.none, _):
            return "the memory is QEMU's own: it cannot be shared in place, and only who may trace QEMU reaches it"
        }
    }
}

#endif
