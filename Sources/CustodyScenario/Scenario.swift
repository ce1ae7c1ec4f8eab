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

    /// A story of the given steps.
    public init(name: String, steps: [ScenarioStep]) {
        self.name = name
        self.steps = steps
    }

    /// Reads a scenario: the keys `name` and `steps`.
    ///
    /// - Throws: ``ConfigurationError``.
    public init(_ node: ConfigurationNode) throws(ConfigurationError) {
        var section = try ConfigurationSection(node)
        guard let name = try section.string("name") else { throw section.missing("name") }
        guard let items = try section.list("steps") else { throw section.missing("steps") }
        try section.finish()
        var steps: [ScenarioStep] = []
        for item in items { steps.append(try ScenarioReader.step(item)) }
        self.init(name: name, steps: steps)
    }

    /// Reads the scenario file at `path`.
    ///
    /// - Throws: ``ConfigurationError``.
    public init(contentsOf path: String) throws(ConfigurationError) {
        try self.init(ConfigurationFile.read(path))
    }
}
