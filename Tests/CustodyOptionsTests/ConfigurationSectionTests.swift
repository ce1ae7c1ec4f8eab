import Custody
import CustodyOptions
import Testing

@Suite struct ConfigurationSectionTests {
    private static func place(_ line: Int, _ column: Int = 1) -> CustodyOptions.SourceLocation {
        CustodyOptions.SourceLocation(file: "vm.yaml", line: line, column: column)
    }

    private func section(_ pairs: (String, ConfigurationNode.Content)...) throws -> ConfigurationSection {
        let nodes = pairs.enumerated().map { line, pair in
            (
                key: ConfigurationNode(.scalar(pair.0), at: Self.place(line + 1)),
                value: ConfigurationNode(pair.1, at: Self.place(line + 1, 10))
            )
        }
        return try ConfigurationSection(ConfigurationNode(.mapping(nodes), at: Self.place(1)))
    }

    private func error(_ body: () throws -> Void) -> ConfigurationError? {
        do { try body() } catch { return error as? ConfigurationError }
        return nil
    }

    @Test func everyKindIsRead() throws {
        var section = try section(
            ("text", .scalar("yes")),
            ("number", .scalar("-3")),
            ("large", .scalar("18446744073709551615")),
            ("flag", .scalar("true")),
            ("size", .scalar("4KiB")),
            ("time", .scalar("2ms")),
            ("word", .scalar("b")),
            ("list", .list([])),
            ("inner", .mapping([])),
            ("nothing", .empty),
            ("node", .empty)
        )
        #expect(try section.string("text") == "yes")
        #expect(try section.integer("number", in: -5...5) == -3)
        #expect(try section.unsigned("large") == .max)
        #expect(try section.boolean("flag") == true)
        #expect(try section.byteCount("size")?.rawValue == 4096)
        #expect(try section.duration("time") == .milliseconds(2))
        #expect(try section.choice("word", of: ["a": 1, "b": 2]) == 2)
        #expect(try section.list("list")?.isEmpty == true)
        #expect(try section.section("inner")?.keys.isEmpty == true)
        #expect(try section.section("nothing")?.keys.isEmpty == true)
        #expect(section.node("node")?.text == nil)
        try section.finish()
    }

    @Test func whatIsNotThereIsNil() throws {
        var section = ConfigurationSection(at: Self.place(4))
        #expect(try section.string("a") == nil)
        #expect(try section.integer("a", in: 0...1) == nil)
        #expect(try section.choice("a", of: ["x": 1]) == nil)
        #expect(try section.list("a") == nil)
        #expect(try section.section("a") == nil)
        #expect(section.missing("a").description == "vm.yaml:4:1: error: the key ‘a’ is missing here")
        try section.finish()
    }

    @Test(arguments: ["6", "-1", "1.0", "1e1", "0x1", "", "99999999999999999999", " 1", "one"])
    func integersOutOfRangeOrNone(text: String) throws {
        var section = try section(("n", .scalar(text)))
        let error = error { _ = try section.integer("n", in: 0...5) }
        #expect(error?.location == Self.place(1, 10))
        #expect(error?.message == "‘n’ must be a whole number from 0 to 5, not ‘\(text)’")
    }

    @Test func wrongKinds() throws {
        let list = ConfigurationNode.Content.list([])
        for wrong in [list, .mapping([]), .empty] {
            var section = try section(("k", wrong))
            #expect(error { _ = try section.string("k") }?.location == Self.place(1, 10))
            #expect(error { _ = try section.integer("k", in: 0...1) } != nil)
            #expect(error { _ = try section.unsigned("k") } != nil)
            #expect(error { _ = try section.boolean("k") } != nil)
            #expect(error { _ = try section.byteCount("k") } != nil)
            #expect(error { _ = try section.duration("k") } != nil)
            #expect(error { _ = try section.choice("k", of: ["a": 1]) } != nil)
        }
        var scalar = try section(("k", .scalar("yes")))
        #expect(error { _ = try scalar.boolean("k") }?.message == "‘k’ must be ‘true’ or ‘false’, not ‘yes’")
        #expect(error { _ = try scalar.list("k") }?.message == "‘k’ must be a list, not ‘yes’")
        #expect(error { _ = try scalar.section("k") }?.message == "expected keys with values, not ‘yes’")
        #expect(error { _ = try scalar.unsigned("k") } != nil)
        #expect(
            error { _ = try ConfigurationSection(ConfigurationNode(list, at: Self.place(3))) }?.location
                == Self.place(3)
        )
    }

    @Test func anUnknownKeyNamesTheNearestKnownOne() throws {
        var section = try section(("memory", .scalar("1")), ("procesors", .scalar("2")))
        _ = section.node("memory")
        _ = section.node("processors")
        let error = error { [section] in try section.finish() }
        #expect(error?.location == Self.place(2))
        #expect(error?.message == "unknown key ‘procesors’; did you mean ‘processors’? (accepted: memory, processors)")
    }

    @Test func anUnknownWordNamesTheNearestKnownOne() throws {
        var section = try section(("contents", .scalar("zerod")))
        let error = error { _ = try section.choice("contents", of: ["zeroed": 1, "preserved": 2]) }
        #expect(
            error?.message
                == "unknown value of ‘contents’ ‘zerod’; did you mean ‘zeroed’? (accepted: zeroed, preserved)"
        )
        #expect(error?.location == Self.place(1, 10))
    }

    @Test func aKeyStandsOnce() throws {
        let error = error { _ = try self.section(("a", .empty), ("b", .empty), ("a", .empty)) }
        #expect(error?.location == Self.place(3))
        #expect(error?.message == "the key ‘a’ stands here twice")
    }

    @Test func aKeyIsAWord() throws {
        let key = ConfigurationNode(.list([]), at: Self.place(5, 3))
        let node = ConfigurationNode(.mapping([(key: key, value: key)]), at: Self.place(5))
        #expect(error { _ = try ConfigurationSection(node) }?.location == Self.place(5, 3))
    }
}
