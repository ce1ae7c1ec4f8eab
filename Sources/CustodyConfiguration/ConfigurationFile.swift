public import Custody
import SystemPackage

/// A file of configuration or scenario text.
public enum ConfigurationFile {
    /// Reads the YAML file at `path`.
    ///
    /// - Throws: `ConfigurationError` where the file cannot be read or is not accepted.
    public static func read(_ path: String) throws(ConfigurationError) -> ConfigurationNode {
        let start = SourceLocation(file: path, line: 1, column: 1)
        let bytes: [UInt8]
        do {
            bytes = try readBytes(path)
        } catch {
            throw ConfigurationError("the file cannot be read: \(error)", at: start)
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
