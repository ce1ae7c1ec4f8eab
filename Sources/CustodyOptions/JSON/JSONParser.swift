/// Finds out what stands where in a text of JSON (RFC 8259), whoever it is from.
struct JSONParser {
    /// The deepest nesting.
    static let maximumDepth = 64

    private let bytes: [UInt8]
    private var position = 0
    private var nodes: [JSONTree.Node] = []

    /// The tree of a text. One byte-order mark before it is skipped.
    ///
    /// - Throws: ``JSONError`` at the first byte that cannot stand where it does.
    static func tree(of bytes: [UInt8]) throws(JSONError) -> JSONTree {
        var parser = JSONParser(bytes: bytes)
        guard bytes.count < Int(UInt32.max) else { throw JSONError("the text is too long", at: 0, in: bytes) }
        try parser.checkCharacters()
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { parser.position = 3 }
        try parser.value(depth: 0)
        if parser.peek() != nil { throw parser.unexpected("the end of the text") }
        return JSONTree(bytes, parser.nodes)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// What a number or a word is made of.
    static func isOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private func checkCharacters() throws(JSONError) {
        do throws(UTF8.ValidationError) { _ = try UTF8Span(validating: bytes.span) } catch {
            throw JSONError("the text is not UTF-8 here", at: error.byteOffsets.lowerBound, in: bytes)
        }
    }

    /// The next byte that is no white space; `nil` at the end.
    private mutating func peek() -> UInt8? {
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): position += 1
            default: return bytes[position]
            }
        }
        return nil
    }

    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: byte) else { return false }
        position += 1
        return true
    }

    private func unexpected(_ expected: String) -> JSONError {
        let rest = String(decoding: bytes[position...].prefix(4), as: UTF8.self)
        let found = rest.unicodeScalars.first.map { "‘\($0)’" } ?? "the end of the text"
        return JSONError("this is not JSON: expected \(expected), not \(found)", at: position, in: bytes)
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(JSONError) {
        let first = peek()
        let index = begin()
        switch first {
        case UInt8(ascii: "{"): try object(depth: depth + 1)
        case UInt8(ascii: "["): try array(depth: depth + 1)
        case UInt8(ascii: "\""): try string()
        default: try scalar()
        }
        end(index)
    }

    private mutating func begin() -> Int {
        nodes.append(JSONTree.Node(start: UInt32(truncatingIfNeeded: position), next: 0))
        return nodes.count - 1
    }

    private mutating func end(_ index: Int) { nodes[index].next = UInt32(truncatingIfNeeded: nodes.count) }

    private func checkDepth(_ depth: Int) throws(JSONError) {
        guard depth <= JSONParser.maximumDepth else {
            throw JSONError("values are nested more than \(JSONParser.maximumDepth) deep", at: position, in: bytes)
        }
    }

    private mutating func object(depth: Int) throws(JSONError) {
        try checkDepth(depth)
        position += 1
        if take("}") { return }
        repeat {
            guard peek() == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
            let key = begin()
            try string()
            end(key)
            guard take(":") else { throw unexpected("‘:’") }
            try value(depth: depth)
        } while take(",")
        guard take("}") else { throw unexpected("‘,’ or ‘}’") }
    }

    private mutating func array(depth: Int) throws(JSONError) {
        try checkDepth(depth)
        position += 1
        if take("]") { return }
        repeat { try value(depth: depth) } while take(",")
        guard take("]") else { throw unexpected("‘,’ or ‘]’") }
    }

    private mutating func string() throws(JSONError) {
        position += 1
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                return
            case UInt8(ascii: "\\"):
                guard let (_, length) = JSONEscape.scalar(at: position, in: bytes) else {
                    throw JSONError("this is not JSON: no character is escaped so", at: position, in: bytes)
                }
                position += length
            case 0..<0x20: throw JSONError("this is not JSON: a control character in a text", at: position, in: bytes)
            default: position += 1
            }
        }
        throw unexpected("the end of the text in quotes")
    }

    /// A number, or one of the three words.
    private mutating func scalar() throws(JSONError) {
        let start = position
        var end = start
        while end < bytes.count, JSONParser.isOfWord(bytes[end]) { end += 1 }
        let word = bytes[start..<end]
        let isValue =
            switch word.first {
            case UInt8(ascii: "n"): word.elementsEqual("null".utf8)
            case UInt8(ascii: "t"): word.elementsEqual("true".utf8)
            case UInt8(ascii: "f"): word.elementsEqual("false".utf8)
            default: endOfNumber(from: start) == end
            }
        guard isValue else { throw unexpected("a value") }
        position = end
    }

    /// `-`, then digits without a zero before others, then `.` with digits, then `e` with a sign and digits; `nil` where no
    /// number begins.
    private func endOfNumber(from start: Int) -> Int? {
        var end = start
        func take(_ one: Unicode.Scalar, _ other: Unicode.Scalar) -> Bool {
            guard end < bytes.count, bytes[end] == UInt8(ascii: one) || bytes[end] == UInt8(ascii: other) else {
                return false
            }
            end += 1
            return true
        }
        func digits() -> Int {
            let first = end
            while end < bytes.count, bytes[end] >= UInt8(ascii: "0"), bytes[end] <= UInt8(ascii: "9") { end += 1 }
            return end - first
        }
        _ = take("-", "-")
        if !take("0", "0"), digits() == 0 { return nil }
        if take(".", "."), digits() == 0 { return nil }
        if take("e", "E") {
            _ = take("+", "-")
            if digits() == 0 { return nil }
        }
        return end
    }
}
