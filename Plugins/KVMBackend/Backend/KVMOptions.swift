import Custody

/// What a configuration says of this back end.
struct KVMOptions: Sendable, Hashable {
    /// The key `mode`: how ownership is made true; `nil` for `auto`, the first mode that this machine has.
    var mode: KVMMode?
    /// The key `processors`: the number of virtual processors, or that of the guest's own section.
    var processors: Int?

    /// The keys `dirty-log` and, for a ring, `dirty-ring-entries`; `nil` for what the mode can do.
    var dirtyLog: DirtyLogChoice?

    /// The key `shared-memory`: what memory shared pages have; `nil` for what the mode takes by itself.
    var sharedMemory: SharedMemoryKind?

    /// Reads a section to its end.
    init(_ section: ConfigurationSection) throws(ConfigurationError) {
        var section = section
        let modes = KVMMode.allCases.map { (key: $0.rawValue, value: KVMMode?.some($0)) }
        mode = try section.choice("mode", among: modes + [(key: "auto", value: nil)]) ?? KVMMode.dual
        processors = try section.integer("processors", in: 1...256)
        dirtyLog = try section.choice(
            "dirty-log",
            among: [
                (key: "none", value: DirtyLogChoice.none), (key: "bitmap", value: .bitmap),
                (key: "ring", value: .ring(entries: DirtyLogChoice.defaultRingEntries)),
            ]
        )
        if case .ring? = dirtyLog,
            let entries = try section.integer("dirty-ring-entries", in: DirtyLogChoice.ringEntries)
        {
            dirtyLog = .ring(entries: entries)
        }
        sharedMemory = try section.choice(
            "shared-memory",
            among: SharedMemoryKind.allCases.map { (key: $0.rawValue, value: $0) }
        )
        try section.finish()
    }
}
