import ArgumentParser
import Testing

@testable import CustodyTool

/// No option of any command is dropped in silence: each has a rule, and each rule is kept.
@Suite struct OptionRuleTests {
    /// A command that does something, with the words that lead to it.
    struct Leaf: Sendable, CustomTestStringConvertible {
        let path: [String]
        let type: any ParsableCommand.Type
        var testDescription: String { path.joined(separator: " ") }
    }

    static let leaves: [Leaf] = leaves(CustodyCommand.self, [])

    private static func leaves(_ type: any ParsableCommand.Type, _ path: [String]) -> [Leaf] {
        let children = type.configuration.subcommands
        guard !children.isEmpty else { return [Leaf(path: path, type: type)] }
        return children.flatMap { leaves($0, path + [$0.configuration.commandName ?? ""]) }
    }

    /// The options of a command, those of its groups aside.
    private static func options(_ command: any ParsableCommand) -> Int {
        Mirror(reflecting: command).children.count { ($0.value as? any NamedArgument)?.isPositional == false }
    }

    @Test func everyCommandIsThere() { #expect(Self.leaves.count >= 8) }

    @Test(arguments: leaves) func everyOptionHasARule(leaf: Leaf) {
        guard let type = leaf.type as? any RuledArguments.Type else {
            #expect(Self.options(leaf.type.init()) < 2, "options that could be in each other's way need rules")
            return
        }
        let names = type.init().named.map(\.name)
        #expect(type.rules.map(\.name).sorted() == names.sorted())
        for rule in type.rules {
            for other in rule.needs + rule.excludes { #expect(names.contains(other), "\(rule.name) names \(other)") }
        }
    }

    /// A value that an option accepts, or none for a flag.
    private static let values = [
        "--time": "1ms", "--from": "1ms", "--to": "1ms", "--kind": "settled", "--color": "never", "--width": "80",
        "--protocol": "gmem-v5", "files": "x", "scenarios": "x", "file": "x", "handover": "gmem-v5", "--backend": "kvm",
        "--rules": "x", "--page": "1MiB", "--who": "x", "--config": "x", "--trace": "y", "--snapshot": "z",
        "--line": "1", "--repeat": "2", "--seed": "1", "--actors": "pin", "--set": "hold", "--folios": "2",
        "--pages": "2", "--start": "mapped", "--max-states": "9", "--property": "x", "--scenario": "x", "--html": "y",
    ]

    private static func words(_ name: String) -> [String] {
        let value = values[name].map { [$0] } ?? []
        return name.hasPrefix("--") ? [name] + value : value
    }

    /// What is wrong with a command line, as the tool says it, with the exit code.
    private static func refusal(_ leaf: Leaf, _ names: [String]) -> (code: Int32, text: String)? {
        // What the command cannot do without comes last.
        let needed = ["file", "handover"].filter { name in
            (leaf.type as? any RuledArguments.Type)?.rules.contains { $0.name == name } == true && !names.contains(name)
        }
        do {
            _ = try CustodyCommand.parseAsRoot(leaf.path + (names + needed).flatMap(words))
            return nil
        } catch {
            return (CustodyCommand.exitCode(for: error).rawValue, CustodyCommand.message(for: error))
        }
    }

    @Test(arguments: leaves) func everyRuleIsKept(leaf: Leaf) throws {
        guard let type = leaf.type as? any RuledArguments.Type else { return }
        for rule in type.rules {
            let company = rule.needs.first.map { [$0] } ?? []
            if rule.name.hasPrefix("--") {
                let alone = Self.refusal(leaf, [rule.name] + company)
                #expect(alone == nil, "\(rule.name): \(alone?.text ?? "")")
            }
            if !rule.needs.isEmpty {
                let refusal = try #require(Self.refusal(leaf, [rule.name]), "\(rule.name) alone")
                #expect(
                    refusal.code == 64
                        && refusal.text == "\(rule.name) has no effect without "
                            + rule.needs.joined(separator: " or ")
                )
            }
            for other in rule.excludes {
                let refusal = try #require(Self.refusal(leaf, [rule.name, other]), "\(rule.name) with \(other)")
                #expect(refusal.code == 64 && refusal.text == "\(rule.name) and \(other) exclude each other")
            }
        }
    }
}
