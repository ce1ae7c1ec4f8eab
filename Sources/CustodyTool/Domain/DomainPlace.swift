import CustodyOptions

#if Libvirt
    import ArgumentParser
    import Custody
    import CustodyConfiguration
    import LibvirtBackend
    #if canImport(Glibc)
        import Glibc
    #elseif canImport(Musl)
        import Musl
    #endif

    /// Where a command of `custody domain` looks: what a configuration names, a root, a directory, or where there is one by
    /// default.
    struct DomainPlace: RuledArguments {
        static let rules = [
            OptionRule("--config", excludes: ["--root", "--memory"]), OptionRule("--root", excludes: ["--memory"]),
            OptionRule("--memory"),
        ]

        @Option(name: .shortAndLong, help: "The configuration file of a domain.")
        var config: String?

        @Option(help: "The root of libvirt's driver in a process.")
        var root: String?

        @Option(help: "A directory of memory files: the key ‘memory’, or a daemon's memory_backing_dir.")
        var memory: String?

        var inventory: MemoryInventory {
            get throws {
                if let memory {
                    // A directory that is empty has nothing; one that is not there is a mistake.
                    guard unsafe access(memory, F_OK) == 0 else {
                        throw BackendError(.unavailable, "there is no directory ‘\(memory)’")
                    }
                    return MemoryInventory(of: memory)
                }
                if let root { return try MemoryInventory(ofRoot: root) }
                guard let config else { return try MemoryInventory(of: LibvirtOptions()) }
                let configuration = try Configuration(ConfigurationFile.read(config), registry: .linked)
                let name = LibvirtProvider().name
                guard configuration.backend.name == name else {
                    let other = configuration.backend
                    throw ConfigurationError("the back end is ‘\(other.name)’, not ‘\(name)’", at: other.location)
                }
                return try MemoryInventory(of: LibvirtOptions(configuration.backendOptions))
            }
        }
    }
#endif
