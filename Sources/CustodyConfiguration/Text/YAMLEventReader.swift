import CYaml
import Custody
import CustodyOptions

/// The events of libyaml's parser, each with the place of its token.
///
/// It is safe: it alone has the parser and the bytes that the parser reads, and frees both after the last use.
@safe
struct YAMLEventReader: ~Copyable {
    /// What stands at a place.
    enum Event {
        case alias(String)
        /// A text; `isPlain` where it has neither quotes nor a tag.
        case scalar(String, anchor: String?, isPlain: Bool)
        case sequenceStart(anchor: String?)
        case sequenceEnd
        case mappingStart(anchor: String?)
        case mappingEnd
        case documentStart
        case documentEnd
        case streamStart
        case streamEnd
    }

    /// Keeps the parser from meeting a bound of its own before the document meets its own, at the token that passes it. To
    /// know whether a bracket begins a key, the parser looks 1024 characters ahead.
    private static let boundNesting: Void = yaml_set_max_nest_level(4096)

    private let file: String
    private let isIncluded: Bool
    private let bytes: [UInt8]
    // The parser has its own address in it, and that of the text.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let text: UnsafeMutableBufferPointer<UInt8>

    /// A reader of `bytes`. Errors show `file` as the name of the file, and do not quote one that is included.
    ///
    /// - Throws: `ConfigurationError` where there is no memory for it.
    init(_ bytes: [UInt8], file: String, isIncluded: Bool) throws(ConfigurationError) {
        self.file = file
        self.isIncluded = isIncluded
        self.bytes = bytes
        let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
        _ = unsafe text.initialize(from: bytes)
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        unsafe parser.initialize(to: yaml_parser_t())
        YAMLEventReader.boundNesting
        unsafe self.text = text
        unsafe self.parser = parser
        guard unsafe yaml_parser_initialize(parser) == 1 else {
            throw ConfigurationError("out of memory", at: SourceLocation(file: file, line: 1, column: 1))
        }
        unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        unsafe yaml_parser_set_input_string(parser, text.baseAddress, text.count)
    }

    deinit {
        unsafe yaml_parser_delete(parser)
        unsafe parser.deallocate()
        unsafe text.deallocate()
    }

    /// The next event and its place.
    ///
    /// - Throws: `ConfigurationError` where the text is not YAML, or has a tag: what a value is follows from its key alone.
    mutating func next() throws(ConfigurationError) -> (event: Event, location: SourceLocation) {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw error }
        defer { unsafe yaml_event_delete(&event) }
        if let tag = unsafe YAMLEventReader.tag(of: event) {
            let place = unsafe location(event.start_mark)
            throw ConfigurationError(
                "a tag is not accepted here, and \(place.quoting(tag, or: "this")) is one",
                at: place
            )
        }
        return (unsafe YAMLEventReader.value(of: event), unsafe location(event.start_mark))
    }

    private static func value(of event: yaml_event_t) -> Event {
        switch unsafe event.type {
        case YAML_ALIAS_EVENT: return .alias(unsafe string(event.data.alias.anchor) ?? "")
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            let content = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            return unsafe .scalar(
                String(decoding: content, as: UTF8.self),
                anchor: string(scalar.anchor),
                isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE
            )
        case YAML_SEQUENCE_START_EVENT:
            return .sequenceStart(anchor: unsafe string(event.data.sequence_start.anchor))
        case YAML_SEQUENCE_END_EVENT: return .sequenceEnd
        case YAML_MAPPING_START_EVENT: return .mappingStart(anchor: unsafe string(event.data.mapping_start.anchor))
        case YAML_MAPPING_END_EVENT: return .mappingEnd
        case YAML_DOCUMENT_START_EVENT: return .documentStart
        case YAML_DOCUMENT_END_EVENT: return .documentEnd
        case YAML_STREAM_START_EVENT: return .streamStart
        default: return .streamEnd
        }
    }

    private static func tag(of event: yaml_event_t) -> String? {
        switch unsafe event.type {
        case YAML_SCALAR_EVENT: unsafe string(event.data.scalar.tag)
        case YAML_SEQUENCE_START_EVENT: unsafe string(event.data.sequence_start.tag)
        case YAML_MAPPING_START_EVENT: unsafe string(event.data.mapping_start.tag)
        default: nil
        }
    }

    private static func string(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        guard let text = unsafe text else { return nil }
        return unsafe String(cString: text)
    }

    private func location(_ mark: yaml_mark_t) -> SourceLocation {
        SourceLocation(
            file: file,
            line: Int(clamping: mark.line) + 1,
            column: Int(clamping: mark.column) + 1,
            isIncluded: isIncluded
        )
    }

    /// What the parser stopped at.
    private var error: ConfigurationError {
        func text(_ words: UnsafePointer<CChar>?) -> String? {
            guard let words = unsafe words else { return nil }
            return unsafe String(cString: words)
        }
        let context = unsafe text(parser.pointee.context)
        let problem = unsafe text(parser.pointee.problem) ?? "out of memory"
        // Characters are looked at before they are tokens, and have no mark.
        let isCharacter = unsafe parser.pointee.error == YAML_READER_ERROR
        let place = isCharacter ? characterPlace : location(unsafe parser.pointee.problem_mark)
        return ConfigurationError(problem + (context.map { " \($0)" } ?? ""), at: place)
    }

    /// The place of the character that the parser does not take.
    private var characterPlace: SourceLocation {
        let offset = min(unsafe Int(clamping: parser.pointee.problem_offset), bytes.count)
        let before = String(decoding: bytes[..<offset], as: UTF8.self)
        var (line, column) = (1, 1)
        // A carriage return with a line feed is one character.
        for character in before {
            (line, column) = character.isNewline ? (line + 1, 1) : (line, column + character.unicodeScalars.count)
        }
        return SourceLocation(file: file, line: line, column: column, isIncluded: isIncluded)
    }
}
