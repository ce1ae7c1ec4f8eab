import Custody
public import CustodyOptions

extension ConfigurationNode {
    /// The value as YAML in one line, which ``YAMLReader`` reads back as the same value. Where it holds nothing but what
    /// JSON has, it is JSON.
    public var flowText: String {
        switch content {
        case .empty: return "null"
        case .scalar(let text): return ConfigurationNode.quoted(text)
        case .list(let items): return "[" + items.map(\.flowText).joined(separator: ", ") + "]"
        case .mapping(let pairs):
            return "{" + pairs.map { "\(ConfigurationNode.key($0.key)): \($0.value.flowText)" }.joined(separator: ", ")
                + "}"
        }
    }

    /// A key. One that YAML would not take for a key by itself, which may have 1,024 characters, has a question mark.
    private static func key(_ node: ConfigurationNode) -> String {
        let text = node.flowText
        return text.utf8.count <= 1000 ? text : "? \(text) "
    }

    /// A text in double quotes, with what YAML does not take as it is written by its number.
    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C: quoted += "\\\(scalar)"
            case 0x20...0x7E, 0xA0...0x2027, 0x202A...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD, 0x10000...0x10FFFF:
                quoted.unicodeScalars.append(scalar)
            default:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return quoted + "\""
    }
}
