import Custody
import CustodyOptions

/// A document of YAML, put together event by event within the bounds of ``YAMLReader``.
struct YAMLDocument {
    /// A value with what it comes to, aliases unfolded.
    private struct Value {
        let node: ConfigurationNode
        /// The number of nodes in it.
        let size: Int
        /// How deep it nests.
        let height: Int
    }

    /// A list or a mapping whose end has not come.
    private struct Open {
        let location: SourceLocation
        let anchor: String?
        let isMapping: Bool
        var items: [ConfigurationNode] = []
        var pairs: [(key: ConfigurationNode, value: ConfigurationNode)] = []
        /// The key whose value comes next.
        var key: ConfigurationNode?
        /// The places of the keys so far.
        var keys: [String: SourceLocation] = [:]
        var size = 1
        var height = 0
    }

    /// The value, once it is whole; `nil` where there is none.
    private(set) var root: ConfigurationNode?

    private var open: [Open] = []
    private var anchors: [String: Value] = [:]
    private var nodes = 0
    private var aliases = 0

    /// Takes the next event of the document.
    ///
    /// - Throws: `ConfigurationError` where a bound is passed, a key stands twice, or an alias is of nothing.
    /// - Complexity: O(1), but for the end of a list or mapping: linear in what stands directly in it.
    mutating func add(_ event: YAMLEventReader.Event, at location: SourceLocation) throws(ConfigurationError) {
        switch event {
        case .scalar(let text, let anchor, let isPlain):
            try count(1, height: 0, location)
            let isEmpty = isPlain && ["", "~", "null"].contains(text)
            let node = ConfigurationNode(isEmpty ? .empty : .scalar(text), at: location)
            try put(Value(node: node, size: 1, height: 0), anchor)
        case .alias(let name):
            aliases += 1
            guard aliases <= YAMLReader.maximumAliases else {
                throw ConfigurationError("there are more than \(YAMLReader.maximumAliases) aliases", at: location)
            }
            guard let value = anchors[name] else {
                throw ConfigurationError(
                    "the alias \(location.quoting(name, or: "here")) is of nothing that stands before it",
                    at: location
                )
            }
            try count(value.size, height: value.height, location)
            let node = ConfigurationNode(value.node.content, at: location)
            try put(Value(node: node, size: value.size, height: value.height), nil)
        case .sequenceStart(let anchor): try begin(anchor, isMapping: false, location)
        case .mappingStart(let anchor): try begin(anchor, isMapping: true, location)
        case .sequenceEnd, .mappingEnd:
            guard let ended = open.popLast() else { return }
            let content: ConfigurationNode.Content = ended.isMapping ? .mapping(ended.pairs) : .list(ended.items)
            let node = ConfigurationNode(content, at: ended.location)
            try put(Value(node: node, size: ended.size, height: ended.height + 1), ended.anchor)
        case .documentStart, .documentEnd, .streamStart, .streamEnd: break
        }
    }

    private mutating func begin(
        _ anchor: String?,
        isMapping: Bool,
        _ location: SourceLocation
    ) throws(ConfigurationError) {
        try count(1, height: 0, location)
        open.append(Open(location: location, anchor: anchor, isMapping: isMapping))
    }

    /// Counts what is about to stand in the innermost list or mapping.
    private mutating func count(_ size: Int, height: Int, _ location: SourceLocation) throws(ConfigurationError) {
        guard open.count + height <= YAMLReader.maximumDepth else { throw YAMLReader.tooDeep(location) }
        nodes += size
        guard nodes <= YAMLReader.maximumNodes else {
            throw ConfigurationError(
                "there are more than \(YAMLReader.maximumNodes) values, aliases unfolded",
                at: location
            )
        }
    }

    /// Puts a whole value where it stands.
    private mutating func put(_ value: Value, _ anchor: String?) throws(ConfigurationError) {
        if let anchor { anchors[anchor] = value }
        guard var parent = open.popLast() else {
            root = value.node
            return
        }
        parent.size += value.size
        parent.height = max(parent.height, value.height)
        if !parent.isMapping {
            parent.items.append(value.node)
        } else if let key = parent.key {
            parent.pairs.append((key, value.node))
            parent.key = nil
        } else {
            let place = value.node.location
            if let text = value.node.text, let first = parent.keys.updateValue(place, forKey: text) {
                throw ConfigurationError(
                    "the key \(place.quoting(text, or: "here")) stands twice, first at \(first)",
                    at: place
                )
            }
            parent.key = value.node
        }
        open.append(parent)
    }
}
