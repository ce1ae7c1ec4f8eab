public import Custody
public import CustodyConfiguration
public import CustodyPolicy

/// A story of a guest, its host and its devices, with what is expected of each step.
///
/// One vocabulary serves scenario files, demonstrations and tests, on every back end.
public struct Scenario: Sendable {
    /// What the story is about.
    public let name: String
    /// The steps, in their order.
    public let steps: [ScenarioStep]

    /// The rules that it is played under, in place of those of a configuration.
    public let policy: (any Policy)?
    /// The limits that it is played under, in place of those of a configuration.
    public let limits: ControllerLimits?
    /// The pool of shared memory that its guest is alone in.
    public let pool: PoolConfiguration?
    /// The sections that these are read from, by their keys.
    package let rules: [String: ConfigurationNode]

    private let options: [String: ConfigurationSection]

    /// A story of the given steps.
    public init(name: String, steps: [ScenarioStep]) {
        self.name = name
        self.steps = steps
        policy = nil
        limits = nil
        pool = nil
        rules = [:]
        options = [:]
    }

    /// Reads a scenario: the keys `name`, `steps`, `backends` for the options that a back end needs to play it, and
    /// `policy`, `limits` and `pool` as a configuration has them.
    ///
    /// - Throws: `ConfigurationError`.
    public init(_ node: ConfigurationNode) throws(ConfigurationError) {
        var section = try ConfigurationSection(node)
        guard let name = try section.string("name") else { throw section.missing("name") }
        guard let items = try section.list("steps") else { throw section.missing("steps") }
        guard !items.isEmpty else { throw ConfigurationError("a scenario has at least one step", at: section.location) }
        var options: [String: ConfigurationSection] = [:]
        if var backends = try section.section("backends") {
            for name in backends.keys { options[name] = try backends.section(name) }
        }
        var rules: [String: ConfigurationNode] = [:]
        for key in ["policy", "limits", "pool"] { rules[key] = section.node(key) }
        self.rules = rules
        policy = try Scenario.read(rules["policy"], PolicyFormat.format, "policy")
        limits = try Scenario.read(rules["limits"], LimitsFormat.format, "limits")
        pool = try Scenario.read(rules["pool"], PoolConfiguration.format, "pool")
        try section.finish()
        var steps: [ScenarioStep] = []
        for item in items { steps.append(try ScenarioReader.step(item)) }
        self.name = name
        self.steps = steps
        self.options = options
    }

    /// Reads the scenario file at `path`.
    ///
    /// - Throws: `ConfigurationError`.
    public init(contentsOf path: String) throws(ConfigurationError) {
        try self.init(ConfigurationFile.read(path))
    }

    /// The options that the back end of this name needs to play the scenario.
    public func options(for backend: String) -> ConfigurationSection? { options[backend] }

    private static func read<Value>(
        _ node: ConfigurationNode?,
        _ format: Format<Value>,
        _ key: String
    ) throws(ConfigurationError) -> Value? {
        guard let node else { return nil }
        return try Format.included(format).read(node, Site(key: key)).value
    }

    /// Plays the scenario on a fresh back end, under its own rules and limits where it has some, else under the given
    /// ones.
    public func play(
        on backend: any MemoryBackend,
        policy: any Policy = AllowAll(),
        limits: ControllerLimits = ControllerLimits(),
        pool: SharedPool? = nil
    ) -> ScenarioReport {
        var runner = ScenarioRunner(
            backend: backend,
            policy: self.policy ?? policy,
            limits: self.limits ?? limits,
            pool: self.pool.map { SharedPool(pages: $0.pages) } ?? pool
        )
        return runner.run(self)
    }
}
