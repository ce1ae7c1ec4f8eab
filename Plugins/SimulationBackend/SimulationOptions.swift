public import Custody
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
        self.init()
        var section = section
        handover = try section.choice("protocol", among: HandoverProtocol.all.map { ($0.name, $0) }) ?? handover
        seed = try section.unsigned("seed") ?? seed
        interleaves = try section.boolean("interleave") ?? interleaves
        initial = try section.choice("initial", of: ["shared": .shared, "private": .private, "host": .host]) ?? initial
        contents = try section.choice("contents", of: ["zeroed": .zeroed, "preserved": .preserved]) ?? contents
        latency = try section.duration("latency") ?? latency
        let sizes: KeyValuePairs<String, Int> = [
            "4KiB": 1, "8KiB": 2, "16KiB": 4, "32KiB": 8, "64KiB": 16, "128KiB": 32, "256KiB": 64, "512KiB": 128,
            "1MiB": 256, "2MiB": 512,
        ]
        pagesPerFolio = try section.choice("folio", of: sizes) ?? pagesPerFolio
        memory = try section.byteCount("memory") ?? memory
        modules = try section.boolean("modules") ?? modules
        var faults: [Fault] = []
        for node in try section.list("faults") ?? [] { faults.append(try Fault(node)) }
        self.faults = faults
        try section.finish()
    }
}
