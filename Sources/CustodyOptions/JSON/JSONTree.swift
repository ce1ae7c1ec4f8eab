/// What stands where in a text of JSON.
///
/// The values are numbered in the order in which they begin; a key of an object is one, and its value is the next.
final class JSONTree: Sendable {
    /// Where a value begins, and the number of the first value after it.
    struct Node: Sendable {
        let start: UInt32
        var next: UInt32
    }

    let bytes: [UInt8]
    private let nodes: [Node]

    init(_ bytes: [UInt8], _ nodes: [Node]) {
        self.bytes = bytes
        self.nodes = nodes
    }

    func start(of node: Int) -> Int { Int(nodes[node].start) }

    /// The number of the first value after this one.
    func next(after node: Int) -> Int { Int(nodes[node].next) }

    /// The byte that a value begins with, which says what it is.
    func first(of node: Int) -> UInt8 { bytes[start(of: node)] }

    func isNull(_ node: Int) -> Bool { first(of: node) == UInt8(ascii: "n") }
    func isObject(_ node: Int) -> Bool { first(of: node) == UInt8(ascii: "{") }
    func isArray(_ node: Int) -> Bool { first(of: node) == UInt8(ascii: "[") }

    /// The keys and values of an object, or `nil` for another value.
    func members(of node: Int) -> [(name: String, value: Int)]? {
        guard isObject(node) else { return nil }
        var members: [(name: String, value: Int)] = []
        var key = node + 1
        while key < next(after: node) {
            members.append((text(key), key + 1))
            key = next(after: key + 1)
        }
        return members
    }

    // MARK: Scalars

    /// The text of a string, which the parser has found to be one.
    private func text(_ node: Int) -> String {
        let begin = start(of: node) + 1
        var end = begin
        var isPlain = true
        while bytes[end] != UInt8(ascii: "\"") {
            let isEscape = bytes[end] == UInt8(ascii: "\\")
            isPlain = isPlain && !isEscape
            end += isEscape ? 2 : 1
        }
        guard !isPlain else { return String(decoding: bytes[begin..<end], as: UTF8.self) }
        var units: [UInt8] = []
        var position = begin
        while position < end {
            guard bytes[position] == UInt8(ascii: "\\") else {
                units.append(bytes[position])
                position += 1
                continue
            }
            guard let (scalar, length) = JSONEscape.scalar(at: position, in: bytes) else { return "" }
            units += Array(String(Character(scalar)).utf8)
            position += length
        }
        return String(decoding: units, as: UTF8.self)
    }

    /// The characters of a number or a word.
    private func word(_ node: Int) -> String {
        String(decoding: bytes[start(of: node)...].prefix { JSONParser.isOfWord($0) }, as: UTF8.self)
    }

    func string(_ node: Int) throws(JSONError) -> String {
        guard first(of: node) == UInt8(ascii: "\"") else { throw mismatch(node, "a text") }
        return text(node)
    }

    func boolean(_ node: Int) throws(JSONError) -> Bool {
        switch first(of: node) {
        case UInt8(ascii: "t"): return true
        case UInt8(ascii: "f"): return false
        default: throw mismatch(node, "‘true’ or ‘false’")
        }
    }

    /// A whole number, in digits alone: what a point or an exponent says may be rounded on the way.
    func integer<Value: FixedWidthInteger>(_ node: Int) throws(JSONError) -> Value {
        if isNumber(node), let value = Value(word(node)) { return value }
        throw mismatch(node, "a whole number from \(Value.min) to \(Value.max)")
    }

    func number<Value: BinaryFloatingPoint & LosslessStringConvertible>(_ node: Int) throws(JSONError) -> Value {
        guard isNumber(node), let value = Value(word(node)), value.isFinite else {
            throw mismatch(node, "a number")
        }
        return value
    }

    private func isNumber(_ node: Int) -> Bool {
        first(of: node) == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first(of: node))
    }

    // MARK: Errors

    /// An error about a value, with the keys that lead to it.
    func error(_ message: String, at node: Int) -> JSONError {
        JSONError(message + JSONTree.text(of: path(to: node)), at: start(of: node), in: bytes)
    }

    /// The same about a key, which stands before its value.
    func error(_ message: String, atKeyOf value: Int) -> JSONError {
        let object = path(to: value).dropLast()
        return JSONError(message + JSONTree.text(of: Array(object)), at: start(of: value - 1), in: bytes)
    }

    /// What a type that is decoded finds wrong.
    func error(_ error: any Error) -> JSONError {
        guard let error = error as? DecodingError else { return self.error("\(error)", at: 0) }
        switch error {
        case .dataCorrupted(let context), .keyNotFound(_, let context), .typeMismatch(_, let context),
            .valueNotFound(_, let context):
            return self.error(context.debugDescription, at: node(at: context.codingPath))
        @unknown default: return self.error("\(error)", at: 0)
        }
    }

    func mismatch(_ node: Int, _ expected: String) -> JSONError {
        error("expected \(expected), not \(kind(of: node))", at: node)
    }

    /// The same about a word, or a number, that is none of those that are known.
    func unknown(_ node: Int, among words: [String]) -> JSONError {
        let found = first(of: node) == UInt8(ascii: "\"") ? text(node) : word(node)
        let question = EditDistance.question(about: found, in: words)
        return error("unknown value \(found.quoted)\(question) (accepted: \(words.joined(separator: ", ")))", at: node)
    }

    /// What a value is, in the words of a message.
    private func kind(of node: Int) -> String {
        switch first(of: node) {
        case UInt8(ascii: "{"): return "an object"
        case UInt8(ascii: "["): return "a list"
        case UInt8(ascii: "\""): return "the text \(text(node).quoted)"
        default: return word(node).quoted
        }
    }

    // MARK: Paths

    /// The keys and indices that lead to a value.
    func path(to node: Int) -> [any CodingKey] {
        var path: [any CodingKey] = []
        var inner = 0
        while inner != node, let step = step(from: inner, to: node) {
            path.append(step.key)
            inner = step.node
        }
        return path
    }

    private func step(from node: Int, to target: Int) -> (key: any CodingKey, node: Int)? {
        if let members = members(of: node) {
            return members.first { target < next(after: $0.value) }.map { ($0.name.codingKey, $0.value) }
        }
        guard isArray(node) else { return nil }
        var (index, item) = (0, node + 1)
        while item < next(after: node) {
            if target < next(after: item) { return (index.codingKey, item) }
            (index, item) = (index + 1, next(after: item))
        }
        return nil
    }

    /// The value that keys and indices lead to, as far as there is one.
    private func node(at path: [any CodingKey]) -> Int {
        var node = 0
        for key in path {
            if let members = members(of: node) {
                guard let member = members.first(where: { $0.name == key.stringValue }) else { break }
                node = member.value
            } else if isArray(node), var rest = key.intValue {
                var item = node + 1
                while item < next(after: node), rest > 0 { (item, rest) = (next(after: item), rest - 1) }
                guard item < next(after: node) else { break }
                node = item
            }
        }
        return node
    }

    private static func text(of path: [any CodingKey]) -> String {
        var text = ""
        for key in path {
            if let index = key.intValue, key.stringValue == "\(index)" {
                text += "[\(index)]"
            } else {
                text += (text.isEmpty ? "" : ".") + key.stringValue
            }
        }
        return text.isEmpty ? "" : " in ‘\(text)’"
    }
}
