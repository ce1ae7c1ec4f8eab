import Custody
import CustodyConfiguration

/// Reads the steps of a scenario.
enum ScenarioReader {
    /// The largest number of bytes that one step may touch.
    static let maximumBytes = 1 << 20

    static func step(_ node: ConfigurationNode) throws(ConfigurationError) -> ScenarioStep {
        var section = try ConfigurationSection(node)
        let action = try action(&section)
        let rule = action.isDecidedUpon ? try section.string("rule") : nil
        try section.finish()
        return ScenarioStep(action, rule: rule, at: node.location)
    }

    private static func action(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ScenarioAction {
        let known = [
            "guest", "host", "device", "neighbour", "wait", "check", "backed", "settled", "kernel", "process", "state",
            "saw",
        ]
        let subjects = section.keys.filter { known.contains($0) }
        guard subjects.count == 1, let subject = subjects.first else {
            throw ConfigurationError(
                "a step has exactly one of the keys \(known.joined(separator: ", "))",
                at: section.location
            )
        }
        switch subject {
        case "guest": return try guest(&section)
        case "host": return try host(&section)
        case "device": return try device(&section)
        case "neighbour": return try neighbour(&section)
        case "backed":
            let isBacked = try required(
                section,
                try section.choice("backed", of: ["some": true, "none": false]),
                "backed"
            )
            return .backed(isBacked, try section.range())
        case "kernel": return try KernelStepReader.call(&section)
        case "process": return try KernelStepReader.process(&section)
        case "state": return try KernelStepReader.state(&section)
        case "saw": return try KernelStepReader.saw(&section)
        case "wait": return .wait(try required(section, try section.duration("wait"), "wait"))
        case "check":
            let ownership = try required(section, try section.choice("check", of: ownerships), "check")
            return .check(ownership, try section.range())
        default:
            let settlements: KeyValuePairs<String, ScenarioAction.Settlement> = [
                "completed": .completed, "cancelled": .cancelled, "expired": .expired, "failed": .failed,
            ]
            let settlement = try required(section, try section.choice("settled", of: settlements), "settled")
            return .settled(settlement, within: try section.duration("within") ?? .zero)
        }
    }

    private enum Verb {
        case write, read, request, removals, probe, discard, convert, cancel, mark, pin, map, release
    }

    private static func guest(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ScenarioAction {
        let verb = try section.choice(
            "guest",
            of: ["write": Verb.write, "read": .read, "request": .request, "removals": .removals]
        )
        if verb == .removals {
            let answers = RemovalAnswer.allCases.map { (key: $0.rawValue, value: $0) }
            return .guestAnswersRemovals(
                try required(section, try section.choice("answer", among: answers), "answer")
            )
        }
        let processor = try section.integer("vcpu", in: 0...1023) ?? 0
        switch verb {
        case .write:
            return .guestWrites(
                processor: processor,
                bytes: try bytes(&section),
                address: try address(&section),
                try access(&section, or: .stopped)
            )
        case .read:
            return .guestReads(
                processor: processor,
                try expectation(&section),
                address: try address(&section),
                try access(&section, or: .stopped)
            )
        default:
            let replies: KeyValuePairs<String, ScenarioAction.Reply> = [
                "done": .done, "retry": .retry, "refused": .refused,
            ]
            return .guestRequests(
                processor: processor,
                target: try required(section, try section.choice("target", of: ownerships), "target"),
                address: try address(&section),
                byteCount: try required(section, try section.byteCount("size"), "size").rawValue,
                try section.choice("expect", of: replies) ?? .done,
                heldBy: try section.string("held-by")
            )
        }
    }

    private static func host(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ScenarioAction {
        let verbs: KeyValuePairs<String, Verb> = [
            "write": .write, "read": .read, "probe": .probe, "discard": .discard, "convert": .convert,
            "cancel": .cancel, "mark": .mark,
        ]
        switch try section.choice("host", of: verbs) {
        case .write:
            return .hostWrites(
                bytes: try bytes(&section),
                address: try address(&section),
                try access(&section, or: .refused)
            )
        case .read:
            return .hostReads(
                try expectation(&section),
                address: try address(&section),
                try access(&section, or: .refused)
            )
        case .probe: return .hostProbes(address: try address(&section), try access(&section, or: .stopped))
        case .discard: return .hostDiscards(try section.range(), try access(&section, or: .failed))
        case .cancel: return .hostCancels
        case .mark: return .hostMarks(try required(section, try section.string("name"), "name"))
        default:
            let outcomes: KeyValuePairs<String, ScenarioAction.Outcome> = [
                "completed": .completed, "pending": .pending, "blocked": .blocked, "deferred": .deferred,
                "refused": .refused,
            ]
            return .hostConverts(
                target: try required(section, try section.choice("target", of: ownerships), "target"),
                try section.range(),
                contents: try section.choice(
                    "contents",
                    of: ["any": "any", "preserved": "preserved", "zeroed": "zeroed"]
                ),
                deadline: try section.duration("deadline"),
                try section.choice("expect", of: outcomes) ?? .completed,
                heldBy: try section.string("held-by")
            )
        }
    }

    private static func device(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ScenarioAction {
        let name = try required(section, try section.string("device"), "device")
        let verbs: KeyValuePairs<String, Verb> = [
            "pin": .pin, "map": .map, "write": .write, "read": .read, "release": .release,
        ]
        switch try required(section, try section.choice("does", of: verbs), "does") {
        case .write: return .deviceWrites(name, bytes: try bytes(&section), address: try address(&section))
        case .read: return .deviceReads(name, try expectation(&section), address: try address(&section))
        case .release: return .deviceReleases(name)
        case let verb:
            let holder = Holder(
                device: name,
                queue: try section.string("queue"),
                purpose: try section.string("purpose")
            )
            return .deviceLeases(
                holder,
                verb == .map ? .mapping : .pin,
                try section.range(),
                hold: try section.duration("hold"),
                try access(&section, or: .refused)
            )
        }
    }

    private static func neighbour(
        _ section: inout ConfigurationSection
    ) throws(ConfigurationError) -> ScenarioAction {
        let name = try required(section, try section.string("neighbour"), "neighbour")
        let verbs: KeyValuePairs<String, Verb> = ["map": .map, "write": .write, "read": .read, "release": .release]
        switch try required(section, try section.choice("does", of: verbs), "does") {
        case .write: return .neighbourWrites(name, bytes: try bytes(&section), address: try address(&section))
        case .read: return .neighbourReads(name, try expectation(&section), address: try address(&section))
        case .release: return .neighbourReleases(name)
        default: return .neighbourMaps(name, try section.range(), try access(&section, or: .refused))
        }
    }

    private static var ownerships: KeyValuePairs<String, Ownership> {
        ["shared": .shared, "private": .private, "host": .host, "in-transit": .inTransit]
    }

    static func required<Value>(
        _ section: ConfigurationSection,
        _ value: Value?,
        _ key: String
    ) throws(ConfigurationError) -> Value {
        guard let value else { throw section.missing(key) }
        return value
    }

    static func address(_ section: inout ConfigurationSection) throws(ConfigurationError) -> UInt64 {
        try required(section, try section.byteCount("at"), "at").rawValue
    }

    /// The word for an access that goes through, the one for an access that must not, and the one for what cannot be
    /// done.
    private static func access(
        _ section: inout ConfigurationSection,
        or failure: ScenarioAction.Access
    ) throws(ConfigurationError) -> ScenarioAction.Access {
        let choices: KeyValuePairs<String, ScenarioAction.Access> =
            switch failure {
            case .refused: ["reached": .reached, "refused": .refused, "failed": .failed]
            case .stopped: ["reached": .reached, "stopped": .stopped, "failed": .failed]
            default: ["reached": .reached, "failed": .failed]
            }
        return try section.choice("expect", of: choices) ?? .reached
    }

    private static func expectation(
        _ section: inout ConfigurationSection
    ) throws(ConfigurationError) -> ScenarioAction.Expectation {
        if ["text", "hex", "fill"].contains(where: section.keys.contains) { return .bytes(try bytes(&section)) }
        return .any(count: try size(&section))
    }

    private static func bytes(_ section: inout ConfigurationSection) throws(ConfigurationError) -> [UInt8] {
        if let text = try section.string("text") { return Array(text.utf8) }
        if let node = section.node("hex") {
            guard let bytes = node.text.flatMap(bytes(hexadecimal:)) else {
                throw ConfigurationError("‘hex’ must be an even number of hexadecimal digits", at: node.location)
            }
            return bytes
        }
        guard let fill = try section.integer("fill", in: 0...255) else { throw section.missing("text") }
        return [UInt8](repeating: UInt8(fill), count: try size(&section))
    }

    private static func bytes(hexadecimal text: String) -> [UInt8]? {
        let digits = text.map(\.hexDigitValue)
        guard digits.count.isMultiple(of: 2), digits.count <= 2 * maximumBytes else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = digits[index], let low = digits[index + 1] else { return nil }
            bytes.append(UInt8(high * 16 + low))
        }
        return bytes
    }

    private static func size(_ section: inout ConfigurationSection) throws(ConfigurationError) -> Int {
        let size = try required(section, try section.byteCount("size"), "size").rawValue
        guard size <= maximumBytes else {
            throw ConfigurationError(
                "one step touches at most \(ByteCount(UInt64(maximumBytes)))",
                at: section.location
            )
        }
        return Int(size)
    }
}
