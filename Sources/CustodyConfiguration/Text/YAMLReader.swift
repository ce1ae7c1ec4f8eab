public import Custody
import Yams

/// Reads YAML into configuration nodes, every one with its place.
///
/// The text may come from anybody: its size, its depth and the number of its nodes, aliases unfolded, are bounded.
public enum YAMLReader {
    /// The largest text, in bytes.
    public static let maximumSize = 1 << 20
    /// The deepest nesting.
    public static let maximumDepth = 64
    /// The largest number of nodes.
    public static let maximumNodes = 100_000
    /// The largest number of aliases. The parser compares keys with all that they unfold to, before nodes are counted.
    public static let maximumAliases = 32

    /// The one document of `text`.
    ///
    /// Errors show `file` as the name of the file.
    ///
    /// - Throws: `ConfigurationError`.
    public static func read(_ text: String, file: String) throws(ConfigurationError) -> ConfigurationNode {
        try checkSize(text, file)
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw describe(error, file)
        }
        guard let root else { return ConfigurationNode(.empty, at: SourceLocation(file: file, line: 1, column: 1)) }
        var budget = maximumNodes
        return try convert(root, file, depth: 0, &budget)
    }

    /// Refuses what the parser itself could not stand: it descends once a level, so depth is judged on the bare text.
    private static func checkSize(_ text: String, _ file: String) throws(ConfigurationError) {
        guard text.utf8.count <= maximumSize else {
            throw ConfigurationError(
                "the file is larger than \(ByteCount(UInt64(maximumSize)))",
                at: SourceLocation(file: file, line: 1, column: 1)
            )
        }
        var line = 1
        var column = 0
        var open = 0
        var markers = 0
        var isIndent = true
        var aliases = 0
        var previous = UInt8(ascii: "\n")
        for byte in text.utf8 {
            column += 1
            aliases += previous == UInt8(ascii: "*") && byte > UInt8(ascii: " ") ? 1 : 0
            previous = byte
            guard aliases <= maximumAliases else {
                let location = SourceLocation(file: file, line: line, column: column - 1)
                throw ConfigurationError("there are more than \(maximumAliases) aliases", at: location)
            }
            switch byte {
            case UInt8(ascii: "\n"): (line, column, markers, isIndent) = (line + 1, 0, 0, true)
            case UInt8(ascii: "["), UInt8(ascii: "{"): (open, isIndent) = (open + 1, false)
            case UInt8(ascii: "]"), UInt8(ascii: "}"): (open, isIndent) = (max(0, open - 1), false)
            case UInt8(ascii: "-"), UInt8(ascii: "?"), UInt8(ascii: ":"): markers += isIndent ? 1 : 0
            case UInt8(ascii: " "), UInt8(ascii: "\t"): break
            default: isIndent = false
            }
            guard open <= maximumDepth, markers <= maximumDepth, !isIndent || column <= 4 * maximumDepth else {
                throw tooDeep(SourceLocation(file: file, line: line, column: column))
            }
        }
    }

    private static func convert(
        _ node: Node,
        _ file: String,
        depth: Int,
        _ budget: inout Int
    ) throws(ConfigurationError) -> ConfigurationNode {
        let location = SourceLocation(file: file, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
        guard depth <= maximumDepth else { throw tooDeep(location) }
        budget -= 1
        guard budget >= 0 else {
            throw ConfigurationError("there are more than \(maximumNodes) values, aliases unfolded", at: location)
        }
        switch node {
        case .scalar(let scalar):
            let isEmpty = scalar.style == .plain && ["", "~", "null"].contains(scalar.string)
            return ConfigurationNode(isEmpty ? .empty : .scalar(scalar.string), at: location)
        case .sequence(let sequence):
            var items: [ConfigurationNode] = []
            for item in sequence { items.append(try convert(item, file, depth: depth + 1, &budget)) }
            return ConfigurationNode(.list(items), at: location)
        case .mapping(let mapping):
            var pairs: [(key: ConfigurationNode, value: ConfigurationNode)] = []
            for (key, value) in mapping {
                let name = try convert(key, file, depth: depth + 1, &budget)
                pairs.append((name, try convert(value, file, depth: depth + 1, &budget)))
            }
            return ConfigurationNode(.mapping(pairs), at: location)
        case .alias:
            throw ConfigurationError("an alias without its anchor", at: location)
        }
    }

    private static func tooDeep(_ location: SourceLocation) -> ConfigurationError {
        ConfigurationError("values are nested more than \(maximumDepth) deep", at: location)
    }

    private static func describe(_ error: any Error, _ file: String) -> ConfigurationError {
        func at(_ mark: Mark?) -> SourceLocation {
            SourceLocation(file: file, line: mark?.line ?? 1, column: mark?.column ?? 1)
        }
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            return ConfigurationError("\(problem)\(context.map { " \($0.text)" } ?? "")", at: at(mark))
        case .duplicatedKeysInMapping(let duplicates, let context):
            let names = duplicates.joined(separator: ", ")
            return ConfigurationError("keys stand twice: \(names)", at: at(context.mark))
        default:
            return ConfigurationError("not YAML: \(error)", at: at(nil))
        }
    }
}
