/// The keys of an object, no two of them alike, and which of them somebody knows.
final class JSONObject {
    let tree: JSONTree
    let node: Int
    /// The keys in the order of the text.
    let names: [String]
    private let values: [String: Int]
    /// The keys that no type of keys has so far, and those types, and the keys that were asked for.
    private var unknown: [String]
    private var keyTypes: [any CodingKey.Type] = []
    private var asked: [String] = []

    /// How many unknown keys are looked at for one that is nearly known.
    private static let maximumGuesses = 16

    init(_ tree: JSONTree, _ node: Int) throws(JSONError) {
        guard let members = tree.members(of: node) else { throw tree.mismatch(node, "an object") }
        var values: [String: Int] = [:]
        for (name, value) in members where values.updateValue(value, forKey: name) != nil {
            throw tree.error("the key \(name.quoted) stands twice", atKeyOf: value)
        }
        self.tree = tree
        self.node = node
        self.values = values
        names = members.map(\.name)
        unknown = names
    }

    /// Knows the keys of a type.
    func open<Key: CodingKey>(_ type: Key.Type) {
        if !unknown.isEmpty { unknown.removeAll { Key(stringValue: $0) != nil } }
        keyTypes.append(type)
    }

    /// The value of a key, or `nil` where it is not there.
    func value(of key: any CodingKey) -> Int? {
        asked.append(key.stringValue)
        return values[key.stringValue]
    }

    /// What is wrong where there is a key that no type of keys has, with the nearest one that one has.
    var unknownKey: JSONError? {
        guard !unknown.isEmpty else { return nil }
        let known = asked + keyTypes.flatMap { JSONObject.names(of: $0) }
        let guesses = unknown.prefix(JSONObject.maximumGuesses)
        let nearlyKnown = guesses.first { EditDistance.nearest(to: $0, in: known) != nil }
        guard let name = nearlyKnown ?? unknown.first, let value = values[name] else { return nil }
        return tree.error("unknown key \(name.quoted)\(EditDistance.question(about: name, in: known))", atKeyOf: value)
    }

    /// All keys of a type that can list them.
    private static func names(of type: any CodingKey.Type) -> [String] {
        func names<Keys: CaseIterable>(_ type: Keys.Type) -> [String] {
            type.allCases.compactMap { ($0 as? any CodingKey)?.stringValue }
        }
        return (type as? any CaseIterable.Type).map { names($0) } ?? []
    }
}
