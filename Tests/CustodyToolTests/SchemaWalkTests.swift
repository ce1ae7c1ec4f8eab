import CustodyConfiguration
import CustodyOptions
import CustodyScenario
import Foundation
import Testing

@testable import CustodyTool

/// Every mapping that the schema of configurations knows: a wrong key in it is found, with its place, before anything else.
@Suite struct SchemaWalkTests {
    /// A mapping of the schema: its keys, and the file around it.
    struct Mapping: Sendable, CustomTestStringConvertible {
        let path: String
        let keys: [String]
        /// The least that it may have.
        let least: [String: JSONValue]
        let file: @Sendable (JSONValue) -> JSONValue

        var testDescription: String { path }

        /// The file, a key a line, with these keys in the mapping beside the least; a place for each of them.
        func text(_ more: [String: JSONValue]) throws -> String {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let value = file(.object(least.merging(more) { $1 }))
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        }
    }

    static let mappings: [Mapping] = {
        let schema = CheckConfigCommand.Schema.configuration.document.value
        var walk = Walk(root: schema)
        walk.visit(schema, "", depth: 0) { $0 }
        return walk.found
    }()

    /// The walk over a schema.
    struct Walk {
        let root: JSONValue
        var found: [Mapping] = []

        mutating func visit(
            _ schema: JSONValue,
            _ path: String,
            depth: Int,
            _ file: @escaping @Sendable (JSONValue) -> JSONValue
        ) {
            guard case .object(let members) = schema, depth < 3 else { return }
            if case .string(let name)? = members["$ref"], let target = definition(name) {
                return visit(target, path, depth: depth + 1, file)
            }
            if case .object(let properties)? = members["properties"] {
                let least = self.least(members)
                let keys = properties.keys.sorted()
                found.append(Mapping(path: path, keys: keys, least: least, file: file))
                for key in keys {
                    let others = self.least(members, with: key)
                    visit(properties[key] ?? .null, "\(path)/\(key)", depth: depth) { value in
                        file(.object(others.merging([key: value]) { $1 }))
                    }
                }
            } else if case .array(let forms)? = members["anyOf"] {
                for (index, form) in forms.enumerated() { visit(form, "\(path)|\(index)", depth: depth, file) }
            } else if let items = members["items"] {
                visit(items, "\(path)[]", depth: depth) { file(.array([$0])) }
            }
        }

        private func definition(_ reference: String) -> JSONValue? {
            guard case .object(let members) = root, case .object(let all)? = members["$defs"] else { return nil }
            return all[String(reference.split(separator: "/").last ?? "")]
        }

        /// The keys that must be there, with the group that `key` is of where there are groups.
        private func least(_ members: [String: JSONValue], with key: String? = nil) -> [String: JSONValue] {
            var names = strings(members["required"])
            if case .array(let groups)? = members["anyOf"] {
                let all = groups.compactMap { group -> [String]? in
                    guard case .object(let group) = group else { return nil }
                    return strings(group["required"])
                }
                let group = all.filter { key.map($0.contains) ?? true }.max { $0.count < $1.count } ?? all.first ?? []
                names += group
            }
            guard case .object(let properties)? = members["properties"] else { return [:] }
            return Dictionary(names.compactMap { name in properties[name].map { (name, sample($0)) } }) { $1 }
        }

        private func strings(_ value: JSONValue?) -> [String] {
            guard case .array(let items)? = value else { return [] }
            return items.compactMap { if case .string(let text) = $0 { text } else { nil } }
        }

        /// A value that the schema and mostly the reader accept.
        private func sample(_ schema: JSONValue) -> JSONValue {
            guard case .object(let members) = schema else { return .null }
            if case .array(let words)? = members["enum"] { return words.first ?? .null }
            if case .string(let name)? = members["$ref"] { return definition(name).map(sample) ?? .null }
            if members["properties"] != nil { return .object(least(members)) }
            if case .array(let forms)? = members["anyOf"] { return forms.first.map(sample) ?? .null }
            switch members["type"] {
            case .string("boolean"): return true
            case .string("integer"):
                if case .integer(let minimum)? = members["minimum"], members["maximum"] != nil {
                    return .integer(minimum)
                }
                return 4096
            case .string("array"):
                return .array(members["minItems"] == .integer(0) ? [] : members["items"].map { [sample($0)] } ?? [])
            case .string("string"):
                guard case .string(let pattern)? = members["pattern"] else { return "x" }
                let texts = ["4KiB", "1ms", "00ff", "x", "AAAA", "/x", "0x30000"]
                return .string(texts.first { $0.range(of: pattern, options: .regularExpression) != nil } ?? "x")
            default: return .object([:])
            }
        }
    }

    private func error(_ text: String, isIncluded: Bool = false) -> ConfigurationError? {
        do throws(ConfigurationError) {
            let node = try YAMLReader.read(text, file: "f.yaml", isIncluded: isIncluded)
            let configuration = try Configuration(node, registry: .linked)
            if let scenario = configuration.scenario { _ = try Scenario(ConfigurationFile.included(scenario)) }
            return nil
        } catch { return error }
    }

    /// The place of the only `word` of a text.
    private func place(_ word: String, _ text: String) throws -> CustodyOptions.SourceLocation {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let line = try #require(lines.firstIndex { $0.contains("\"\(word)\"") })
        let column = try #require(lines[line].range(of: "\"\(word)\""))
        let before = lines[line][..<column.lowerBound].unicodeScalars.count
        return CustodyOptions.SourceLocation(file: "f.yaml", line: line + 1, column: before + 1)
    }

    @Test func thereAreManyMappings() {
        #expect(Self.mappings.count > 100)
        for part in ["/guest", "/policy", "/limits", "/pool", "/scenario", "/backends/simulation", "/backends/kvm"] {
            #expect(Self.mappings.contains { $0.path.hasPrefix(part) }, "\(part)")
        }
    }

    @Test(arguments: mappings) func anUnknownKeyIsFoundWhereItStands(mapping: Mapping) throws {
        let key = try #require(mapping.keys.max { $0.count < $1.count })
        let wrong = key + "qq"
        let text = try mapping.text([wrong: 1])
        let error = try #require(self.error(text), "\(text)")
        #expect(error.location == (try place(wrong, text)), "\(error)\n\(text)")
        #expect(error.message.hasPrefix("unknown key ‘\(wrong)’; did you mean ‘\(key)’?"), "\(error)")
    }

    @Test(arguments: mappings) func aKeyThatStandsTwiceIsFoundAtTheSecond(mapping: Mapping) throws {
        let text = try mapping.text(["first-one": 1, "first-two": 1])
        let (first, second) = (try place("first-one", text), try place("first-two", text))
        let twice = text.replacing("first-one", with: "same-key").replacing("first-two", with: "same-key")
        let error = try #require(self.error(twice))
        #expect(error.location == second && error.message == "the key ‘same-key’ stands twice, first at \(first)")
    }

    /// Of a file that another one names, nothing is quoted.
    @Test(arguments: mappings) func anIncludedMappingIsNotQuoted(mapping: Mapping) throws {
        let secret = "sEcReT"
        for more in [[secret: .integer(1)]] + mapping.keys.map({ [$0: JSONValue.string(secret)] }) {
            let text = try mapping.text(more)
            guard let error = self.error(text, isIncluded: true) else { continue }
            #expect(!error.message.contains(secret), "\(error)\n\(text)")
        }
    }
}
