#if Libvirt
    import LibvirtBackend

    /// A directory of memory files as `custody domain --json` prints it.
    struct DomainRecord: Encodable {
        let domain: String
        let uuid: String?
        let owner: DomainFiles.Owner
        let path: String
        let state: String
        let backEnds: [DomainFiles.Process]
        let guest: DomainFiles.Process?
        let holders: [DomainFiles.Process]
        let obstacle: String?
        let memory: UInt64
        let files: [DomainFiles.File]

        /// - Parameter state: what is to be said of it: `in use`, `leftover`, or `removed`.
        init(_ found: DomainFiles, state: String) {
            domain = found.domain
            uuid = found.uuid
            owner = found.owner
            path = found.path
            self.state = state
            backEnds = found.backEnds
            guest = found.guest
            holders = found.holders
            obstacle = found.obstacle
            memory = found.backedBytes
            files = found.files
        }
    }

    extension DomainFiles {
        /// Whether somebody has it, in a word.
        var state: String { isLeftover ? "leftover" : "in use" }
    }
#endif
