public import CustodyOptions

/// What a configuration says of this back end.
public struct KVMOptions: Sendable, Hashable {
    /// The key `mode`: how ownership is made true; `nil` for `auto`, the first mode that this machine has.
    public var mode: KVMMode? = .dual
    /// The key `processors`: the number of virtual processors, or that of the guest's own section.
    public var processors: Int?
    /// The key `dirty-log`; `nil` for what the mode can do.
    public var dirtyLog: DirtyLogChoice?
    /// The key `dirty-ring-entries`, for a ring, while a section is read.
    private var ringEntries: Int?
    /// The key `shared-memory`: what memory shared pages have; `nil` for what the mode takes by itself.
    public var sharedMemory: SharedMemoryKind?

    /// The key `kick-signal`: what takes processors out of the guest; `nil` for a signal that nobody handles.
    public var kickSignal: Int?

    /// What is the case where nothing is said.
    public init() {}

    /// Reads a section to its end.
    ///
    /// - Throws: `ConfigurationError`.
    public init(_ section: ConfigurationSection) throws(ConfigurationError) {
        self = try KVMOptions.format.read(section.node, Site(key: "kvm")).value
    }

    /// What the section may be.
    static let format = Format<KVMOptions>.settings(
        of: { KVMOptions() },
        [
            .setting(
                "mode",
                \.mode,
                Format<KVMMode?>.word(KVMMode.allCases.map { ($0.rawValue, $0) } + [("auto", nil)]),
                "How ownership is made true; dual unless named, and with auto the first that the machine has."
            ),
            .setting(
                "processors",
                \.processors,
                .integer(in: 1...256),
                "The number of virtual processors, in place of the guest's own."
            ),
            .setting(
                "dirty-log",
                \.dirtyLog,
                .word([
                    ("none", DirtyLogChoice.none), ("bitmap", .bitmap),
                    ("ring", .ring(entries: DirtyLogChoice.defaultRingEntries)),
                ]),
                "How the guest's writes are told; unless named, as the mode can."
            ),
            .setting(
                "dirty-ring-entries",
                \.ringEntries,
                .integer(in: DirtyLogChoice.ringEntries),
                "The entries of a ring for each processor: a power of two."
            ),
            .setting("shared-memory", \.sharedMemory, .word(), "What memory shared pages have."),
            .setting(
                "kick-signal",
                \.kickSignal,
                .integer(in: 34...64),
                "The real-time signal that takes processors out of the guest; unless named, one that nobody handles."
            ),
        ]
    )
    .map { (options, location) throws(ConfigurationError) in
        guard let entries = options.ringEntries else { return options }
        guard case .ring? = options.dirtyLog else {
            throw ConfigurationError("‘dirty-ring-entries’ needs ‘dirty-log: ring’", at: location)
        }
        var options = options
        options.dirtyLog = .ring(entries: entries)
        return options
    }
}
