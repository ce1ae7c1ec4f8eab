#if Libvirt

/// One directory of memory files of a domain, and who has it.
public struct DomainFiles: Sendable, Hashable {
    /// A file in it.
    public struct File: Sendable, Hashable, Codable {
        /// Its name in the directory.
        public let name: String
        /// Its size in bytes.
        public let byteCount: UInt64
        /// The bytes of memory behind it.
        public let backedBytes: UInt64
    }

    /// A process.
    public struct Process: Sendable, Hashable, Codable {
        /// Its number.
        public let process: Int32
        /// What it calls itself.
        public let command: String
    }

    /// Who made the directory.
    public enum Owner: String, Sendable, Hashable, Codable {
        /// This package, for the files of modules.
        case custody
        /// Libvirt, for the memory that the guest always has and for its names of modules.
        case libvirt
    }

    /// The domain's name.
    public let domain: String
    /// Its UUID, where the directory's name has it.
    public let uuid: String?
    /// Who made the directory.
    public let owner: Owner
    /// The directory.
    public let path: String
    /// What is in it, by name.
    public let files: [File]
    /// The processes whose back end has locked the directory.
    public internal(set) var backEnds: [Process] = []
    /// The process that runs the domain.
    public internal(set) var guest: Process?
    /// Other processes that have a file of it open or mapped.
    public internal(set) var holders: [Process] = []
    /// Why it is in use although nobody is named, or what could not be found out: it is taken to be in use.
    public internal(set) var obstacle: String?

    /// Whether nobody has it, so that it may be removed.
    public var isLeftover: Bool { backEnds.isEmpty && guest == nil && holders.isEmpty && obstacle == nil }

    /// The bytes of memory behind all files.
    public var backedBytes: UInt64 { files.reduce(0) { $0 &+ $1.backedBytes } }

    /// Who has it, in words.
    public var user: String {
        func named(_ role: String, _ processes: [Process]) -> [String] {
            processes.map { "\(role)\($0.command) (pid \($0.process))" }
        }
        let all =
            named("back end ", backEnds) + named("guest ", guest.map { [$0] } ?? []) + named("", holders)
            + (obstacle.map { [$0] } ?? [])
        return all.isEmpty ? "nobody" : all.joined(separator: ", ")
    }
}

#endif
