public import Custody
public import CustodyOptions
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
        self.init(name: name, steps: steps, policy: nil, limits: nil, pool: nil, rules: [:], options: [:])
    }

    /// Reads a scenario: the keys `name`, `steps`, `backends` for the options that a back end needs to play it, and
    /// `policy`, `limits` and `pool` as a configuration has them.
    ///
    /// - Throws: `ConfigurationError`.
    public init(_ node: ConfigurationNode) throws(ConfigurationError) {
        self = try Scenario.format.read(node, Site(key: "scenario")).value
    }

    /// What a scenario may be.
    package static let format = Format<Scenario>.mapping(
        .required("name", .text, "What the story is about."),
        .required("steps", steps, "The steps, in their order."),
        .optional("backends", backends, "The options that a back end needs to play it, by its name."),
        .optional("policy", .included(PolicyFormat.reference), "The rules. Or the name of a file with them."),
        .optional("limits", .included(LimitsFormat.format), "What bounds the guest's requests. Or the name of a file."),
        .optional(
            "pool",
            .included(PoolConfiguration.format),
            "The pool of shared memory that its guest is alone in. Or the name of a file with it."
        ),
        rules
    ) {
        (name, steps, options: [String: ConfigurationSection]?, policy, limits, pool, rules) in
        return Scenario(
            name: name,
            steps: steps,
            policy: policy,
            limits: limits,
            pool: pool,
            rules: rules,
            options: options ?? [:]
        )
    }

    /// The steps. What each adds to the work of all is counted before the next is read.
    private static let steps: Format<[ScenarioStep]> = {
        let step = StepFormat.format
        let list = Format<[ScenarioStep]>.list(of: step, atLeast: 1)
        return Format(list.schema) { (node, site) throws(ConfigurationError) in
            guard case .list(let nodes) = node.content, !nodes.isEmpty else { return try list.read(node, site) }
            var work = ScenarioWork()
            var steps: [ScenarioStep] = []
            for node in nodes {
                let step = try step.read(node, site).value
                try work.add(step)
                steps.append(step)
            }
            return Reading(steps, "")
        }
    }()

    /// The options are the back ends' own, and which ones there are is known when it is played.
    private static let backends = Format<[String: ConfigurationSection]>(
        ["type": ["object", "null"], "additionalProperties": ["type": ["object", "null"]]]
    ) { (node, _) throws(ConfigurationError) in
        var section = try ConfigurationSection(node)
        var options: [String: ConfigurationSection] = [:]
        for name in section.keys { options[name] = try section.section(name) }
        return Reading(options, "")
    }

    /// The sections of rules as they are written: no keys of its own.
    private static let rules = Key<[String: ConfigurationNode]>([]) { (section, _, _) in
        var rules: [String: ConfigurationNode] = [:]
        for key in ["policy", "limits", "pool"] { rules[key] = section.node(key) }
        return rules
    }

    private init(
        name: String,
        steps: [ScenarioStep],
        policy: (any Policy)?,
        limits: ControllerLimits?,
        pool: PoolConfiguration?,
        rules: [String: ConfigurationNode],
        options: [String: ConfigurationSection]
    ) {
        self.name = name
        self.steps = steps
        self.policy = policy
        self.limits = limits
        self.pool = pool
        self.rules = rules
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
