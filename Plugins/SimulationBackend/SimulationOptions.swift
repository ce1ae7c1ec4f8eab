public import Custody

/// How a simulation behaves.
public struct SimulationOptions: Sendable, Equatable {
    /// Where all chance comes from.
    public var seed: UInt64
    /// What a conversion does to the bytes.
    public var contents: ContentsEffect
    /// The virtual time that a change of ownership takes, before a seeded jitter of up to a quarter.
    public var latency: Duration

    /// Options; the defaults are seed 1, zeroed contents and 2 µs.
    public init(seed: UInt64 = 1, contents: ContentsEffect = .zeroed, latency: Duration = .microseconds(2)) {
        self.seed = seed
        self.contents = contents
        self.latency = latency
    }

    /// Reads options from the section `simulation` of a configuration: `seed`, `contents`, `latency`.
    ///
    /// - Throws: ``ConfigurationError``.
    public init(_ section: ConfigurationSection) throws(ConfigurationError) {
        self.init()
        var section = section
        seed = try section.unsigned("seed") ?? seed
        contents = try section.choice("contents", of: ["zeroed": .zeroed, "preserved": .preserved]) ?? contents
        latency = try section.duration("latency") ?? latency
        try section.finish()
    }
}
