import Custody
public import CustodyOptions
public import CustodyConfiguration

/// What is used where a user names no file: compiled in, so that a program needs nothing beside it.
public enum BuiltIn {
    /// The configuration that names the simulation.
    ///
    /// - Throws: `ConfigurationError` where `registry` has no simulation.
    public static func configuration(_ registry: BackendRegistry) throws(ConfigurationError) -> Configuration {
        try Configuration(read(PackageResources.default_yaml, "built-in configuration"), registry: registry)
    }

    /// The scenario that shows pages changing hands.
    ///
    /// - Throws: nothing that a test has not ruled out.
    public static func scenario() throws(ConfigurationError) -> Scenario {
        try Scenario(read(PackageResources.hand_over_yaml, "built-in scenario"))
    }

    private static func read(_ bytes: [UInt8], _ name: String) throws(ConfigurationError) -> ConfigurationNode {
        try YAMLReader.read(String(decoding: bytes, as: UTF8.self), file: name)
    }
}
