import Custody
public import CustodyOptions
import CustodyFiles
import SystemPackage

/// A file of configuration or scenario text.
public enum ConfigurationFile {
    /// Reads the YAML file at `path`.
    ///
    /// - Throws: `ConfigurationError` where the file cannot be read or is not accepted.
    public static func read(_ path: String) throws(ConfigurationError) -> ConfigurationNode {
        let start = SourceLocation(file: path, line: 1, column: 1)
        return try read(path, .any, failingAt: start) { "the file cannot be read: \($0)" }
    }

    /// The value itself, or what is in the file that it names: text is the name of a regular file, relative to the one it is
    /// in.
    ///
    /// - Throws: `ConfigurationError`, at the name where the file cannot be read.
    public static func included(_ node: ConfigurationNode) throws(ConfigurationError) -> ConfigurationNode {
        guard let name = node.text else { return node }
        guard !name.isEmpty, !name.utf8.contains(0) else {
            throw ConfigurationError("the name of a file has characters, and none of them is NUL", at: node.location)
        }
        let path = resolve(name, in: node.location.file)
        // A name that stands in a file which a file names is not quoted either.
        let shown = node.location.origin == .includedFile ? "that is named here" : path
        return try read(path, .regular, failingAt: node.location) { "the file \(shown) cannot be read: \($0)" }
    }

    private static func read(
        _ path: String,
        _ kind: InputFile.Kind,
        failingAt location: SourceLocation,
        _ explain: (FileError) -> String
    ) throws(ConfigurationError) -> ConfigurationNode {
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try InputFile.bytes(of: path, kind, atMost: YAMLReader.maximumSize)
        } catch {
            throw ConfigurationError(explain(error), at: location)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError("the file is not UTF-8 text", at: place(ofWrongByteIn: bytes, path))
        }
        return try YAMLReader.read(text, file: path, isIncluded: kind == .regular)
    }

    /// The place of the first byte that belongs to no character.
    private static func place(ofWrongByteIn bytes: [UInt8], _ path: String) -> SourceLocation {
        // What comes before it is as long decoded as not: a replacement is where they begin to differ.
        let decoded = Array(String(decoding: bytes, as: UTF8.self).utf8)
        let offset = zip(bytes, decoded).prefix { $0 == $1 }.count
        let line = bytes[..<offset].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let column = String(decoding: line.last ?? [], as: UTF8.self).unicodeScalars.count + 1
        return SourceLocation(file: path, line: line.count, column: column)
    }

    /// The path that `name` means in the file `base`: a relative one starts at the folder of `base`.
    public static func resolve(_ name: String, in base: String) -> String {
        FilePath(base).removingLastComponent().pushing(FilePath(name)).string
    }
}
