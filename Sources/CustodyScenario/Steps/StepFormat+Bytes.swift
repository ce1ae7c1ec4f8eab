import Custody
import CustodyOptions

/// The bytes of a step.
extension StepFormat {
    /// The largest number of bytes that one step may touch.
    private static let maximumBytes = 1 << 20

    /// The groups of keys that bytes are given by.
    static let bytesKeys = [["text"], ["hex"], ["fill", "size"]]
    /// And those for bytes that are to be found.
    static let expectationKeys = bytesKeys + [["size"]]

    /// The bytes to be stored.
    static let bytes = Key<[UInt8]>(entries) { (section, site, _) throws(ConfigurationError) in
        guard case .bytes(let bytes) = try read(&section, site, missing: "text") else { throw section.missing("fill") }
        return bytes
    }

    /// The bytes to be found.
    static let expectation = Key<ScenarioAction.Expectation>(entries) { (section, site, _) throws(ConfigurationError) in
        try read(&section, site, missing: "size")
    }

    private static let entries = [
        KeyEntry("text", ["type": "string"], "The bytes as text in UTF-8."),
        KeyEntry("hex", hexadecimal.schema, "The bytes, each as two hexadecimal digits."),
        KeyEntry("fill", fill.schema, "All bytes are this one."),
        KeyEntry("size", size.schema, "The number of bytes: at most 1 MiB."),
    ]

    private static func read(
        _ section: inout ConfigurationSection,
        _ site: Site,
        missing: String
    ) throws(ConfigurationError) -> ScenarioAction.Expectation {
        let given = section.keys.filter { key in entries.contains { $0.name == key } }
        if let text = try section.string("text") {
            guard given.count == 1 else { throw conflict(section) }
            return .bytes(Array(text.utf8))
        }
        if let node = section.node("hex") {
            guard given.count == 1 else { throw conflict(section) }
            return .bytes(try hexadecimal.read(node, Site(key: "hex")).value)
        }
        let byte = try section.node("fill").map { (node) throws(ConfigurationError) in
            try fill.read(node, Site(key: "fill")).value
        }
        guard let node = section.node("size") else { throw section.missing(byte == nil ? missing : "size") }
        let count = try size.read(node, Site(key: "size")).value
        return byte.map { .bytes([UInt8](repeating: UInt8($0), count: count)) } ?? .any(count: count)
    }

    private static func conflict(_ section: ConfigurationSection) -> ConfigurationError {
        ConfigurationError("bytes are a text, or hexadecimal digits, or one of a size", at: section.location)
    }

    private static let fill = Format<Int>.integer(in: 0...255)

    private static let size = Format<ByteCount>.size.map { (size, location) throws(ConfigurationError) in
        guard size.rawValue <= maximumBytes else {
            throw ConfigurationError("one step touches at most \(ByteCount(UInt64(maximumBytes)))", at: location)
        }
        return Int(size.rawValue)
    }

    private static let hexadecimal = Format<[UInt8]>(
        ["type": "string", "pattern": "^([0-9a-fA-F]{2})*$"]
    ) { (node, site) throws(ConfigurationError) in
        guard let text = node.text, let bytes = bytes(hexadecimal: text) else {
            throw ConfigurationError(
                "‘\(site.key)’ must be an even number of hexadecimal digits",
                at: node.location
            )
        }
        return Reading(bytes, text)
    }

    private static func bytes(hexadecimal text: String) -> [UInt8]? {
        let digits = text.utf8.map { Character(Unicode.Scalar($0)).hexDigitValue }
        guard digits.count.isMultiple(of: 2), digits.count <= 2 * maximumBytes else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = digits[index], let low = digits[index + 1] else { return nil }
            bytes.append(UInt8(high * 16 + low))
        }
        return bytes
    }
}
