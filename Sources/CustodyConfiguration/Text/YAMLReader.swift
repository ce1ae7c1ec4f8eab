import Custody
public import CustodyOptions

/// Reads YAML into configuration nodes, every one with its place.
///
/// The text may come from anybody: its size, its depth and the number of its nodes, aliases unfolded, are bounded. Nothing
/// is unfolded or compared before it is counted, and nothing descends by recursion.
public enum YAMLReader {
    /// The largest text, in bytes.
    public static let maximumSize = 1 << 20
    /// The deepest nesting.
    public static let maximumDepth = 64
    /// The largest number of nodes, aliases unfolded.
    public static let maximumNodes = 100_000
    /// The largest number of aliases.
    public static let maximumAliases = 32

    /// The one document of `text`. One byte-order mark before it is skipped, and places count without it.
    ///
    /// Errors show `file` as the name of the file. What is in a file that another file names, they do not quote.
    ///
    /// - Throws: `ConfigurationError`, at the token in question.
    public static func read(
        _ text: String,
        file: String,
        isIncluded: Bool = false
    ) throws(ConfigurationError) -> ConfigurationNode {
        let start = SourceLocation(file: file, line: 1, column: 1, isIncluded: isIncluded)
        guard text.utf8.count <= maximumSize else {
            throw ConfigurationError("the file is larger than \(ByteCount(UInt64(maximumSize)))", at: start)
        }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let bytes = Array(text.utf8.dropFirst(text.utf8.starts(with: mark) ? 3 : 0))
        var events = try YAMLEventReader(bytes, file: file, isIncluded: isIncluded)
        var document = YAMLDocument()
        var isRead = false
        while true {
            let (event, location) = try events.next()
            switch event {
            case .streamStart, .documentEnd: break
            case .streamEnd: return document.root ?? ConfigurationNode(.empty, at: start)
            case .documentStart:
                guard !isRead else {
                    throw ConfigurationError("a file has one document, and this is another", at: location)
                }
                isRead = true
            default: try document.add(event, at: location)
            }
        }
    }

    static func tooDeep(_ location: SourceLocation) -> ConfigurationError {
        ConfigurationError("values are nested more than \(maximumDepth) deep", at: location)
    }
}
