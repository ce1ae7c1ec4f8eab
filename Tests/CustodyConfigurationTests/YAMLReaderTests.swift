import Custody
import CustodyOptions
import CustodyConfiguration
import Testing

/// Text from anybody: an error with its place, never a crash and never a long wait.
@Suite(.timeLimit(.minutes(60))) struct YAMLReaderTests {
    private func error(_ text: String) -> ConfigurationError? {
        do throws(ConfigurationError) {
            _ = try YAMLReader.read(text, file: "f.yaml")
            return nil
        } catch { return error }
    }

    @Test func placesAreThoseOfTheText() throws {
        let root = try YAMLReader.read("a: 1\nb:\n  - x\n  - {c: [y, z]}\n", file: "f.yaml")
        guard case .mapping(let pairs) = root.content, pairs.count == 2,
            case .list(let items) = pairs[1].value.content, items.count == 2,
            case .mapping(let inner) = items[1].content, case .list(let letters) = inner[0].value.content
        else { return #expect(Bool(false), "not what was written") }
        #expect("\(pairs[0].value.location)" == "f.yaml:1:4")
        #expect("\(pairs[1].key.location)" == "f.yaml:2:1")
        #expect("\(items[0].location)" == "f.yaml:3:5")
        #expect(letters.map(\.text) == ["y", "z"])
        #expect("\(letters[1].location)" == "f.yaml:4:13")
    }

    @Test func emptyAndQuoted() throws {
        for text in ["", "\n", "# nothing\n", "~", "null"] {
            guard case .empty = try YAMLReader.read(text, file: "f").content else {
                Issue.record("‘\(text)’ is something")
                continue
            }
        }
        #expect(try YAMLReader.read("'~'", file: "f").text == "~")
        #expect(try YAMLReader.read("\"null\"", file: "f").text == "null")
        #expect(try YAMLReader.read("0x10", file: "f").text == "0x10", "scalars stay text")
    }

    /// Every way to nest that the grammar has, one level more at a time up to depths that no stack would bear.
    private static let nesting: [(name: String, text: @Sendable (Int) -> String)] = [
        ("flow lists", { String(repeating: "[", count: $0) }),
        ("flow mappings", { String(repeating: "{a: ", count: $0) }),
        ("closed flow lists", { String(repeating: "[", count: $0) + String(repeating: "]", count: $0) }),
        ("flow pairs", { String(repeating: "[a: ", count: $0) }),
        ("flow lists with quoted closers", { String(repeating: "[\"]\",", count: $0) }),
        ("flow mappings with quoted closers", { String(repeating: "{\"}\": ", count: $0) }),
        ("flow lists with closers in comments", { String(repeating: "[ #]\n", count: $0) }),
        ("block lists", { String(repeating: "- ", count: $0) + "x" }),
        ("block lists with tabs", { String(repeating: "-\t", count: $0) + "x" }),
        ("block keys", { String(repeating: "? ", count: $0) + "x" }),
        ("block lists of keys", { String(repeating: "- ? ", count: $0) + "x" }),
        ("block lists after a carriage return", { "a:\r" + String(repeating: "- ", count: $0) + "x" }),
        ("block lists after a next-line character", { "a:\u{85}" + String(repeating: "- ", count: $0) + "x" }),
        ("block lists after a line separator", { "a:\u{2028}" + String(repeating: "- ", count: $0) + "x" }),
        ("block lists after a document start", { "--- " + String(repeating: "- ", count: $0) + "x" }),
        (
            "indented mappings",
            { depth in (0..<min(depth, 1400)).map { String(repeating: " ", count: $0) + "a:\n" }.joined() }
        ),
        (
            "indented mappings with carriage returns",
            { depth in (0..<min(depth, 1400)).map { String(repeating: " ", count: $0) + "a:\r" }.joined() }
        ),
        (
            "lists in lists, a line each",
            { depth in (0..<min(depth, 1400)).map { String(repeating: " ", count: $0) + "-\n" }.joined() }
        ),
    ]

    @Test(arguments: nesting.indices)
    func deepNestingIsRefused(kind: Int) {
        let (name, text) = Self.nesting[kind]
        for depth in [70, 300, 999, 20_000, 170_000] {
            let input = text(depth)
            let error = error(input)
            #expect(error != nil, "\(name), \(depth) deep")
            #expect(error?.location.file == "f.yaml")
        }
    }

    @Test func depthsThatPeopleWriteAreRead() {
        #expect(error(String(repeating: "[", count: 60) + String(repeating: "]", count: 60)) == nil)
        #expect(error(String(repeating: "- ", count: 60) + "x") == nil)
        #expect(error((0..<60).map { String(repeating: "  ", count: $0) + "a:\n" }.joined()) == nil)
    }

    /// Ten lines whose values unfold to more than anybody has memory for.
    @Test func aliasBombsAreRefused() {
        var lines = ["x0: &x0 [a, a]"]
        for level in 1...16 { lines.append("x\(level): &x\(level) [*x\(level - 1), *x\(level - 1)]") }
        let error = error(lines.joined(separator: "\n"))
        #expect(error?.message.contains("alias") == true, "\(error?.description ?? "accepted")")
    }

    @Test func anAliasBombAsAKeyIsRefused() {
        var lines = ["x0: &x0 [a, a]"]
        for level in 1...40 { lines.append("x\(level): &x\(level) [*x\(level - 1), *x\(level - 1)]") }
        lines.append("? *x40\n: 1")
        // Whichever bound is passed first.
        #expect(error(lines.joined(separator: "\n"))?.message == "there are more than 100000 values, aliases unfolded")
        // The worst that is let through: what it unfolds to is counted, and never made.
        var few = ["x0: &x0 [a, a]"]
        for level in 1...10 {
            few.append("x\(level): &x\(level) [*x\(level - 1), *x\(level - 1), *x\(level - 1)]")
        }
        few.append("? *x10\n: 1")
        #expect(error(few.joined(separator: "\n")) != nil)
    }

    @Test func aliasesThatPeopleWriteAreRead() throws {
        let root = try YAMLReader.read("a: &x {k: v}\nb: *x\n", file: "f")
        guard case .mapping(let pairs) = root.content, case .mapping(let inner) = pairs[1].value.content else {
            return #expect(Bool(false))
        }
        #expect(inner[0].value.text == "v")
        #expect(error("a: *nobody")?.location.line == 1)
        #expect(error("a: &x [*x]") != nil, "a value within itself")
    }

    @Test func hugeTextIsRefused() {
        let error = error(String(repeating: "a", count: YAMLReader.maximumSize + 1))
        #expect(error?.message == "the file is larger than 1 MiB")
        #expect(self.error("a: " + String(repeating: "b", count: YAMLReader.maximumSize - 10)) == nil)
    }

    @Test func tooManyValuesAreRefused() {
        let text = "[" + String(repeating: "a,", count: YAMLReader.maximumNodes + 5) + "]"
        #expect(error(text)?.message.contains("more than 100000 values") == true)
    }

    @Test(arguments: [
        ("a: 1\nb: [1, 2\n", 3), ("a: 1\n b: 2\n", 2), ("\ta: 1", 1), ("a: \"x", 1), ("a: 1\n---\nb: 2\n", 2),
        ("%YAML 9", 1),
        ("a: 'b' c", 1), ("a: !<x y", 1), ("- a\nb: c\n", 2), ("a: @b", 1), ("]", 1), ("}", 1), ("a: \u{0}b", 1),
    ])
    func whatIsNotYAMLIsRefusedWithItsPlace(text: String, line: Int) {
        let error = error(text)
        #expect(error != nil)
        #expect(
            (error?.location.line ?? 0) >= line && (error?.location.line ?? 0) <= line + 1,
            "\(error?.description ?? "accepted")"
        )
    }

    @Test func aKeyStandsOnce() {
        let error = error("a: 1\nb: 2\na: 3\n")
        #expect(error?.description == "f.yaml:3:1: error: the key ‘a’ stands twice, first at f.yaml:1:1")
        #expect(self.error("x: {a: 1, b: {a: 2}}\ny: {a: 1}") == nil, "keys of other mappings")
        #expect(self.error("x: {a: 1, b: 1, a: 2}")?.location.column == 17)
        #expect(self.error("a: &k x\nx: 1\n*k : 2\n")?.description.hasPrefix("f.yaml:3:1: error: the key ‘x’") == true)
    }

    @Test func oneByteOrderMarkIsSkipped() throws {
        for text in ["a: 1\nb: x\n", "- 1\n- 2\n", "# c\na: {b: 1}\n", "---\na: 1\n", ""] {
            let with = try YAMLReader.read("\u{FEFF}" + text, file: "f")
            let without = try YAMLReader.read(text, file: "f")
            #expect(with.flowText == without.flowText && with.location == without.location)
        }
        #expect(error("\u{FEFF}a: 1\nb: @\n")?.location == SourceLocation(file: "f.yaml", line: 2, column: 4))
        #expect(error("\u{FEFF}a: b: c")?.location.column == 5, "columns do not count it")
    }

    /// What looks like nesting or an alias, and is not.
    @Test func commentsAndStringsCountForNothing() {
        for piece in ["[", "{", "[0, 1)", "*", "*x ", "- ", "? ", "{a: "] {
            let many = String(repeating: piece, count: 200)
            for text in ["# \(many)\na: 1", "a: '\(many)'", "a: \"\(many)\"", "a: |\n  \(many)\n", "a: >\n  \(many)\n"]
            {
                #expect(error(text) == nil, "\(text)")
            }
            let lines = String(repeating: "# \(piece)\n", count: 200)
            #expect(error("\(lines)a: 1") == nil)
        }
        #expect(error("a: x" + String(repeating: "[*", count: 200)) == nil, "a plain text")
        #expect(error("a: 1 # " + String(repeating: "[", count: 200)) == nil)
    }

    @Test func boundsAreHeldAtTheTokenThatPassesThem() {
        let depth = YAMLReader.maximumDepth
        #expect(error(String(repeating: "[", count: depth) + "x" + String(repeating: "]", count: depth)) == nil)
        let deep = error(String(repeating: "[", count: depth + 1) + "x" + String(repeating: "]", count: depth + 1))
        #expect(deep?.description == "f.yaml:1:\(depth + 2): error: values are nested more than 64 deep")
        // However much deeper it goes: the parser looks ahead, and has no bound of its own that it meets before.
        for more in [100, 900, 1100, 5000] {
            let brackets = String(repeating: "[", count: more) + String(repeating: "]", count: more)
            #expect(error(brackets)?.description == "f.yaml:1:\(depth + 2): error: values are nested more than 64 deep")
        }
        // An alias brings its depth along.
        let high = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
        let twice = error(
            "a: &a \(high)\nb: \(String(repeating: "[", count: 30))*a\(String(repeating: "]", count: 30))"
        )
        #expect(twice?.description == "f.yaml:2:34: error: values are nested more than 64 deep")
        let aliases = "a: &a 1\nb: [" + String(repeating: "*a, ", count: YAMLReader.maximumAliases)
        #expect(error(aliases + "]") == nil)
        let many = error(aliases + "*a]")
        #expect(
            many?.description == "f.yaml:2:\(5 + 4 * YAMLReader.maximumAliases): error: there are more than 32 aliases"
        )
        #expect(error("a: [x,\n  *nobody]")?.location == SourceLocation(file: "f.yaml", line: 2, column: 3))
    }

    @Test func anAliasIsAtItsOwnPlace() throws {
        let root = try YAMLReader.read("a: &x {k: v}\nb: *x\n", file: "f")
        guard case .mapping(let pairs) = root.content else { return #expect(Bool(false)) }
        #expect("\(pairs[1].value.location)" == "f:2:4")
    }

    @Test func charactersThatYAMLHasNotAreAtTheirPlace() {
        #expect(error("a: 1\r\nbü: \u{1}x")?.location == SourceLocation(file: "f.yaml", line: 2, column: 5))
        #expect(error("\u{FEFF}\u{1}")?.location == SourceLocation(file: "f.yaml", line: 1, column: 1))
    }

    /// A key longer than the 1,024 characters that YAML takes for one, and one that is no word.
    @Test(arguments: [1, 990, 1000, 1022, 1023, 1024, 5000]) func aLongKeyIsWrittenAsItCanBeRead(count: Int) throws {
        let word = String(repeating: "k", count: count)
        for text in ["? \(word)\n: {a: b}\nc: d\n", "? {? \(word) : [e]}\n: {a: b}\nc: d\n"] {
            let written = try YAMLReader.read(text, file: "f").flowText
            #expect(try YAMLReader.read(written, file: "again").flowText == written)
        }
    }

    /// A tag would say what a value is; its key does.
    @Test(arguments: [("a: !!str b", 4), ("a: !x {b: c}", 4), ("!y [a]", 1), ("!!str a: b", 1), ("a: ! b", 4)])
    func tagsAreRefusedInTheirPlace(text: String, column: Int) {
        let error = error(text)
        #expect(error?.message.contains("a tag is not accepted") == true)
        #expect(error?.location.line == 1 && error?.location.column == column)
    }
}
