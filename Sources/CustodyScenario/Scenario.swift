public import Custody
import CustodyConfiguration

/// A story of a guest, its host and its devices, with what is expected of each step.
///
/// One vocabulary serves scenario files, demonstrations and tests, on every back end.
public struct Scenario: Sendable {
    /// What the story is about.
    public let name: String
    /// The steps, in their order.
    public let steps: [ScenarioStep]

    private let options: [String: ConfigurationSection]

    /// A story of the given steps.
    public init(name: String, steps: [ScenarioStep]) {
        self.name = name
        self.steps = steps
        options = [:]
    }

    /// Reads a scenario: the keys `name`, `steps`, and `backends` for the options that a back end needs to play it.
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
}
