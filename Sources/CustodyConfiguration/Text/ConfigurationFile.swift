public import Custody
import SystemPackage

/// A file of configuration or scenario text.
public enum ConfigurationFile {
    /// Reads the YAML file at `path`.
    ///
    /// - Throws: `ConfigurationError` where the file cannot be read or is not accepted.
    public static func read(_ path: String) throws(ConfigurationError) -> ConfigurationNode {
        let start = SourceLocation(file: path, line: 1, column: 1)
        return try read(path, failingAt: start) { "the file cannot be read: \($0)" }
    }

    /// The value itself, or what is in the file that it names: text is the name of a file, relative to the one it is in.
    ///
    /// - Throws: `ConfigurationError`, at the name where the file cannot be read.
    public static func included(_ node: ConfigurationNode) throws(ConfigurationError) -> ConfigurationNode {
        guard let name = node.text else { return node }
        guard !name.isEmpty, !name.utf8.contains(0) else {
            throw ConfigurationError("the name of a file has characters, and none of them is NUL", at: node.location)
        }
        let path = resolve(name, in: node.location.file)
        return try read(path, failingAt: node.location) { "the file \(path) cannot be read: \($0)" }
    }

    private static func read(
        _ path: String,
        failingAt location: SourceLocation,
        _ explain: (any Error) -> String
    ) throws(ConfigurationError) -> ConfigurationNode {
        let start = SourceLocation(file: path, line: 1, column: 1)
        let bytes: [UInt8]
        do {
            bytes = try readBytes(path)
        } catch {
            throw ConfigurationError(explain(error), at: location)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError("the file is not UTF-8 text", at: start)
        }
        return try YAMLReader.read(text, file: path)
    }

    /// The path that `name` means in the file `base`: a relative one starts at the folder of `base`.
    public static func resolve(_ name: String, in base: String) -> String {
        FilePath(base).removingLastComponent().pushing(FilePath(name)).string
    }

    /// The bytes of a file, one more than the reader takes at the most: a file without an end is too large, not a hang.
    private static func readBytes(_ path: String) throws -> [UInt8] {
        let file = try FileDescriptor.open(FilePath(path), .readOnly)
        return try file.closeAfter {
            var bytes: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 1 << 16)
            while bytes.count <= YAMLReader.maximumSize {
                let count = try unsafe chunk.withUnsafeMutableBytes { unsafe try file.read(into: $0) }
                if count == 0 { break }
                bytes += chunk[..<count]
            }
            return bytes
        }
    }
}
