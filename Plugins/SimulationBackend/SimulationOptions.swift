public import Custody
public import CustodyOptions
public import CustodyProtocols

/// How a simulation behaves.
public struct SimulationOptions: Sendable {
    /// The protocol by which pages change hands.
    public var handover: HandoverProtocol
    /// Where all chance comes from.
    public var seed: UInt64
    /// Whether everybody at work in the kernel is let go on by chance, rather than the caller first.
    public var interleaves: Bool
    /// Who owns the pages to begin with: shared, or private as those of a file that was created without
    /// `GUEST_MEMFD_FLAG_INIT_SHARED` (in version 5, `GUEST_MEMFD_FLAG_INIT_MAPPABLE`), or the host's, as modules that
    /// are not plugged in.
    public var initial: Ownership
    /// What a conversion does to the bytes: the protocol itself preserves them; zeroed does what an architecture does
    /// that scrubs a page between owners.
    public var contents: ContentsEffect
    /// The virtual time that a change of ownership takes, before a seeded jitter of up to a quarter.
    public var latency: Duration
    /// The size of every folio, in pages: a power of two from 1 to 512.
    public var pagesPerFolio: Int
    /// The most bytes of memory that there are to back the guest with.
    public var memory: ByteCount
    /// Whether memory goes to the host, and comes from it, as memory modules do: a region at a time, when the guest lets
    /// it go.
    public var modules: Bool
    /// What goes wrong.
    public var faults: [Fault]

    /// Options; the defaults are `gmem-custody`, seed 1, shared pages, zeroed contents, 2 µs, one-page folios, no faults.
    public init(
        handover: HandoverProtocol = .custody,
        seed: UInt64 = 1,
        interleaves: Bool = false,
        initial: Ownership = .shared,
        contents: ContentsEffect = .zeroed,
        latency: Duration = .microseconds(2),
        pagesPerFolio: Int = 1,
        memory: ByteCount = ByteCount(1 << 40),
        modules: Bool = false,
        faults: [Fault] = []
    ) {
        self.handover = handover
        self.seed = seed
        self.interleaves = interleaves
        self.initial = initial
        self.contents = contents
        self.latency = latency
        self.pagesPerFolio = pagesPerFolio
        self.memory = memory
        self.modules = modules
        self.faults = faults
    }

    /// Reads options from the section `simulation` of a configuration.
    ///
    /// - Throws: `ConfigurationError`.
    public init(_ section: ConfigurationSection) throws(ConfigurationError) {
        self = try SimulationOptions.format.read(section.node, Site(key: "simulation")).value
    }

    /// What the section may be.
    static let format = Format<SimulationOptions>.settings(
        of: { SimulationOptions() },
        [
            .setting(
                "protocol",
                \.handover,
                .word(HandoverProtocol.all.map { ($0.name, $0) }),
                "The protocol by which pages change hands; gmem-custody unless named."
            ),
            .setting("seed", \.seed, .number, "Where all chance comes from; 1 unless named."),
            .setting(
                "interleave",
                \.interleaves,
                .boolean,
                "Whether everybody at work in the kernel goes on by chance, rather than the caller first."
            ),
            .setting(
                "initial",
                \.initial,
                .word([("shared", .shared), ("private", .private), ("host", .host)]),
                "Who owns the pages to begin with; shared unless named."
            ),
            .setting(
                "contents",
                \.contents,
                .word([("zeroed", .zeroed), ("preserved", .preserved)]),
                "What a conversion does to the bytes; zeroed unless named."
            ),
            .setting("latency", \.latency, .duration(), "The virtual time that a change takes; 2us unless named."),
            .setting("folio", \.pagesPerFolio, folio, "The size of every folio; 4KiB unless named."),
            .setting("memory", \.memory, .size, "The most memory that there is to back the guest with."),
            .setting(
                "modules",
                \.modules,
                .boolean,
                "Whether memory goes to the host a region at a time, when the guest lets it go."
            ),
            .setting("faults", \.faults, .list(of: Fault.format), "What goes wrong."),
        ]
    )

    private static let folio = Format<Int>.word([
        ("4KiB", 1), ("8KiB", 2), ("16KiB", 4), ("32KiB", 8), ("64KiB", 16), ("128KiB", 32), ("256KiB", 64),
        ("512KiB", 128), ("1MiB", 256), ("2MiB", 512),
    ])
}
