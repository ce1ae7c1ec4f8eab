public import Custody
import FoundationEssentials

/// A file of configuration or scenario text.
public enum ConfigurationFile {
    /// Reads the YAML file at `path`.
    ///
    /// - Throws: ``ConfigurationError`` where the file cannot be read or is not accepted.
    public static func read(_ path: String) throws(ConfigurationError) -> ConfigurationNode {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            let start = SourceLocation(file: path, line: 1, column: 1)
            throw ConfigurationError("the file cannot be read as UTF-8 text: \(error)", at: start)
        }
        return try YAMLReader.read(text, file: path)
    }

    /// The path that `name` means in the file `base`: a relative one starts at the folder of `base`.
    public static func resolve(_ name: String, in base: String) -> String {
        guard !name.hasPrefix("/"), let slash = base.lastIndex(of: "/") else { return name }
        return base[...slash] + name
    }
}
